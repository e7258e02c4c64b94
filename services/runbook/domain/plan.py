"""What would be done, its digest, and the settings that it changes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from services.runbook.domain.suspect import SuspectLabel, masks_told, rows_told, target_told

Settings = Mapping[str, str]
"""What an actuator finds or puts in force, by lever: for a kill-switch, by feature; for a mask, by
id; for actions on rows, by label and outcome. A rollback has one lever, what decides which
checkpoint is served."""

SERVED = "served"
KILLED = "killed"
MASKED = "masked"
USED = "used"
"""Rows as they were."""
LEFT_OUT = "left out"
CHECKPOINT = "checkpoint"
"""The lever of a rollback."""


class MitigationKind(StrEnum):
    """The reversible acts."""

    KILL_SWITCH = "KILL_SWITCH"
    CHECKPOINT_ROLLBACK = "CHECKPOINT_ROLLBACK"
    ID_MASK = "ID_MASK"
    """Serve id-list features without certain ids."""
    ROW_QUARANTINE = "ROW_QUARANTINE"
    """Leave rows out of training."""
    ROW_REBALANCE = "ROW_REBALANCE"
    """Weigh rows in training."""

    @property
    def noun(self) -> str:
        """What people call one that is in force."""
        return _NOUNS[self]

    @property
    def is_on_serving(self) -> bool:
        """Whether it is carried out where requests are served, so that it can end by stages."""
        return self in (MitigationKind.KILL_SWITCH, MitigationKind.ID_MASK)

    @property
    def is_on_rows(self) -> bool:
        """Whether the owner of the training data carries it out, for checkpoints to come."""
        return self in (MitigationKind.ROW_QUARANTINE, MitigationKind.ROW_REBALANCE)

    @property
    def is_on_findings(self) -> bool:
        """Whether it is about labels that audits found."""
        return self is MitigationKind.ID_MASK or self.is_on_rows


_NOUNS = {
    MitigationKind.KILL_SWITCH: "kill",
    MitigationKind.CHECKPOINT_ROLLBACK: "rollback",
    MitigationKind.ID_MASK: "mask",
    MitigationKind.ROW_QUARANTINE: "quarantine",
    MitigationKind.ROW_REBALANCE: "rebalance",
}


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
    labels: tuple[SuspectLabel, ...] = ()
    """Of a mask and of actions on rows."""

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON, in hexadecimal, whatever the order of features and
        labels."""
        content: dict[str, Any] = {
            "incident": self.incident,
            "model": self.model,
            "kind": self.kind,
            "features": sorted(self.features),
        }
        if self.checkpoint:
            content |= {"checkpoint": self.checkpoint, "replaces": self.replaces}
        if self.labels:
            content["labels"] = [asdict(each) for each in sorted(self.labels)]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def target(self) -> Settings:
        """The settings that it would put in force, by lever."""
        match self.kind:
            case MitigationKind.KILL_SWITCH:
                return dict.fromkeys(self.features, KILLED)
            case MitigationKind.CHECKPOINT_ROLLBACK:
                return {CHECKPOINT: self.checkpoint}
            case MitigationKind.ID_MASK:
                return {each.mask_lever: MASKED for each in self.labels}
            case MitigationKind.ROW_QUARANTINE:
                return {each.rows_lever: LEFT_OUT for each in self.labels}
            case MitigationKind.ROW_REBALANCE:
                return {each.rows_lever: target_told(each) for each in self.labels}

    @property
    def subject(self) -> str:
        """What it is about, in plain words."""
        match self.kind:
            case MitigationKind.KILL_SWITCH:
                return ", ".join(self.features)
            case MitigationKind.CHECKPOINT_ROLLBACK:
                return f"checkpoint {self.checkpoint}"
            case MitigationKind.ID_MASK:
                return ", ".join(each.mask_lever for each in self.labels)
            case _:
                return rows_told(self.labels)

    def __str__(self) -> str:
        match self.kind:
            case MitigationKind.KILL_SWITCH:
                return f"switch off {self.subject}"
            case MitigationKind.CHECKPOINT_ROLLBACK:
                return f"serve {self.subject} instead of {self.replaces}"
            case MitigationKind.ID_MASK:
                return f"serve {masks_told(self.labels)}"
            case MitigationKind.ROW_QUARANTINE:
                return f"leave {self.subject} out of training"
            case MitigationKind.ROW_REBALANCE:
                shares = ", ".join(
                    f"{each.target_share:.1%} instead of {each.share:.1%}" for each in self.labels
                )
                return f"weigh {self.subject} so that the outcome has its former share: {shares}"


@dataclass(frozen=True)
class Change:
    """Settings before and after an act; undoing it puts `previous` back."""

    previous: Settings
    target: Settings
