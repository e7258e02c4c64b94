"""A stop of all mitigations, whose history is in the audit."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.runbook.domain.mitigation import Transition

PAUSE_SUBJECT = "pause"
"""What the audit calls it."""


class PauseState(StrEnum):
    """Whether mitigations are stopped."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"


@dataclass(frozen=True)
class Pause:
    """Whether mitigations are stopped, and who said so last."""

    last: Transition | None = None
    """None: nobody ever stopped them."""

    @property
    def state(self) -> PauseState:
        """Whether mitigations are stopped."""
        return PauseState(self.last.after) if self.last else PauseState.RUNNING

    @property
    def is_on(self) -> bool:
        """Whether mitigations are stopped."""
        return self.state is PauseState.PAUSED

    def moved(self, to: PauseState, *, actor: str, time: datetime, reason: str) -> "Pause":
        """Return the pause begun or ended."""
        return Pause(Transition(self.state, to, time, actor, reason))

    def __str__(self) -> str:
        if self.last is None or not self.is_on:
            return "mitigations are not paused"
        return (
            f"mitigations are paused since {self.last.time:%Y-%m-%d %H:%M} UTC by "
            f"{self.last.actor}: {self.last.reason}"
        )
