"""A timeline in this process's memory, for tests and dry runs."""

from dataclasses import dataclass, field

from services.runbook.domain.happening import Happening


@dataclass(frozen=True)
class MemoryTimeline:
    """Keeps each happening once by its id."""

    kept: dict[str, Happening] = field(default_factory=dict)

    async def record(self, happening: Happening) -> None:
        """Keep a happening."""
        self.kept.setdefault(happening.id, happening)
