"""Who must have a write before it is acknowledged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.chassis.errors import DependencyUnavailable


@dataclass(frozen=True)
class Durability:
    """Copies of a write to wait for. Without any, it is acknowledged once the server has it."""

    replicas: int = 0
    """That have received it; that have it on disk, if `on_disk`."""
    on_disk: bool = False
    """The server that takes it has synchronised its append-only file."""
    patience: timedelta = timedelta(seconds=1)

    @property
    def command(self) -> Sequence[str | int]:
        """What to send after a write on the same connection; empty when there is no waiting."""
        milliseconds = self.patience // timedelta(milliseconds=1)
        if self.on_disk:
            return "WAITAOF", 1, self.replicas, milliseconds
        return ("WAIT", self.replicas, milliseconds) if self.replicas else ()

    def check(self, answer: int | Sequence[int]) -> None:
        """Refuse to acknowledge what too few have.

        Raises:
            DependencyUnavailable: it is stored, but not as often as asked for.
        """
        synchronised, replicas = (1, answer) if isinstance(answer, int) else answer
        if synchronised < self.on_disk or replicas < self.replicas:
            raise DependencyUnavailable(
                f"stored, but on too few disks or replicas within {self.patience}: send it again, "
                "it counts once"
            )
