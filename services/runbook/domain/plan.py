"""What would be done, its digest, and the settings that it changes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Settings = Mapping[str, str]
"""What an actuator finds or puts in force, by lever: for a kill-switch, by feature; a rollback has
one lever, what decides which checkpoint is served."""

SERVED = "served"
KILLED = "killed"


class MitigationKind(StrEnum):
    """The reversible acts."""

    KILL_SWITCH = "KILL_SWITCH"
    CHECKPOINT_ROLLBACK = "CHECKPOINT_ROLLBACK"


@dataclass(frozen=True)
class Plan:
    """A reversible act on one model, as an expert approves it."""

    incident: str
    model: str
    """`models/{model}`"""
    kind: MitigationKind
    features: tuple[str, ...] = ()
    """Of a kill-switch."""
    checkpoint: str = ""
    """Of a rollback: the version that would be served."""
    replaces: str = ""
    """Of a rollback: the version that was served when it was planned."""

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON, in hexadecimal, whatever the order of features."""
        content: dict[str, str | list[str]] = {
            "incident": self.incident,
            "model": self.model,
            "kind": self.kind,
            "features": sorted(self.features),
        }
        if self.checkpoint:
            content |= {"checkpoint": self.checkpoint, "replaces": self.replaces}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def __str__(self) -> str:
        if self.kind is MitigationKind.CHECKPOINT_ROLLBACK:
            return f"serve checkpoint {self.checkpoint} instead of {self.replaces}"
        return f"switch off {', '.join(self.features)}"


@dataclass(frozen=True)
class Change:
    """Settings before and after an act; undoing it puts `previous` back."""

    previous: Settings
    target: Settings
