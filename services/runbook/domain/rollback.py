"""Which checkpoint to go back to."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class RegisteredCheckpoint:
    """A version of a model in its registry."""

    version: str
    trained_until: datetime | None
    """None: the registry does not say, so that nobody knows what it has seen."""
    digest: str = ""
    """Of the checkpoint as attribution knows it; empty where the registry does not say."""


@dataclass(frozen=True)
class Registered:
    """A model as its registry has it."""

    serving: str
    """The version that is served."""
    checkpoints: tuple[RegisteredCheckpoint, ...]

    def checkpoint(self, version: str) -> RegisteredCheckpoint | None:
        """Return a version; None if there is none."""
        return next((c for c in self.checkpoints if c.version == version), None)


def rollback_target(registered: Registered, corrupted_since: datetime) -> str | None:
    """Return the newest version trained until before the corruption, other than the served one.

    What was trained later than the served version is no way back. None: there is none.
    """
    serving = registered.checkpoint(registered.serving)
    served = serving.trained_until if serving else None
    earlier = [
        (checkpoint.trained_until, checkpoint.version)
        for checkpoint in registered.checkpoints
        if checkpoint.trained_until is not None
        and checkpoint.trained_until <= corrupted_since
        and (served is None or checkpoint.trained_until <= served)
        and checkpoint.version != registered.serving
    ]
    return max(earlier)[1] if earlier else None
