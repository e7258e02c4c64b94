"""Which checkpoint to go back to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class RegisteredCheckpoint:
    """A version of a model in its registry."""

    version: str
    trained_until: datetime | None
    """None: the registry does not say, so that nobody knows what it has seen."""


@dataclass(frozen=True)
class Registered:
    """A model as its registry has it."""

    serving: str
    """The version that is served."""
    checkpoints: tuple[RegisteredCheckpoint, ...]


def rollback_target(registered: Registered, corrupted_since: datetime) -> str | None:
    """Return the newest version trained until before the corruption, other than the served one.

    What was trained later than the served version is no way back. None: there is none.
    """
    served = _trained_until(registered.checkpoints, registered.serving)
    earlier = [
        (checkpoint.trained_until, checkpoint.version)
        for checkpoint in registered.checkpoints
        if checkpoint.trained_until is not None
        and checkpoint.trained_until <= corrupted_since
        and (served is None or checkpoint.trained_until <= served)
        and checkpoint.version != registered.serving
    ]
    return max(earlier)[1] if earlier else None


def _trained_until(checkpoints: Sequence[RegisteredCheckpoint], version: str) -> datetime | None:
    return next((c.trained_until for c in checkpoints if c.version == version), None)
