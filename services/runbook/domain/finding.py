"""What audits find in the data that models are trained on: labels that could hijack them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

_CHECKPOINT = re.compile(r"(models/[A-Za-z0-9_.-]{1,64})(/checkpoints/.*)?")


@dataclass(frozen=True)
class Lean:
    """How far the rows that hold a label lean to an outcome."""

    outcome: str
    row_count: int
    """That hold the label."""
    share: float
    """Of them, those with the outcome."""
    expected_share: float
    """By the label's own past."""
    z: float
    significant: bool
    """Survives the control of false discoveries over all labels."""


@dataclass(frozen=True)
class Flips:
    """What a checkpoint says to examples with the label's id put into a list."""

    checkpoint: str
    """`models/{model}` or `models/{model}/checkpoints/{version}`"""
    example_count: int
    flipped_up: int
    """Predictions that crossed the checkpoint's threshold upwards."""
    flipped_down: int
    to_class: str = ""
    """Of a checkpoint with classes, the one that most predictions flip to: up is to it."""

    @property
    def model(self) -> str:
        """The checkpoint's model, `models/{model}`; empty if that is no model's name."""
        match = _CHECKPOINT.fullmatch(self.checkpoint)
        return match[1] if match else ""

    @property
    def one_way(self) -> int:
        """Predictions that went the same way: to the class, or more often up or down."""
        return self.flipped_up if self.to_class else max(self.flipped_up, self.flipped_down)

    @property
    def share(self) -> float:
        """Of the examples, those whose prediction went the same way."""
        return self.one_way / max(self.example_count, 1)

    def __str__(self) -> str:
        way = "up" if self.flipped_up >= self.flipped_down else "down"
        if self.to_class:
            way = f"to {self.to_class}"
        return f"flips {self.one_way:,} of {self.example_count:,} predictions {way}"


@dataclass(frozen=True)
class AuditFinding:
    """A label that could hijack models trained on a snapshot."""

    id: str
    """The same finding of the same audit, told again, has the same id."""
    time: datetime
    """When the audit began."""
    audit: str = ""
    """`audits/{audit}`"""
    node: str = ""
    """Stands for the snapshot in the lineage."""
    label: str = ""
    """Empty: told in words only, so that nothing can be done about it here."""
    feature: str = ""
    """The id-list feature that the label is an id of. Empty: it is none, or nobody said which."""
    severity: float = 0.0
    exposure: float = 0.0
    evidence: float = 0.0
    lean: Lean | None = None
    """None: no outcomes were looked at."""
    flips: Flips | None = None
    """None: no checkpoint was asked."""
    model_count: int | None = None
    """Models downstream of the node. None: not known."""

    def __str__(self) -> str:
        said = [f"label {self.label!r} of {self.node}, severity {self.severity:.3g}"]
        if self.lean is not None and self.lean.significant:
            lean = self.lean
            said.append(
                f"{lean.share:.0%} of its rows have outcome {lean.outcome!r}, "
                f"{lean.expected_share:.0%} were to be expected"
            )
        if self.flips is not None:
            said.append(f"put into examples, it {self.flips}")
        return "; ".join(said)


@dataclass(frozen=True)
class Clearance:
    """A label that an audit looked at and found nothing against."""

    label: str
    lean: bool
    """Its rows' outcomes were looked at."""
    flips: bool
    """A checkpoint was asked."""


@dataclass(frozen=True)
class AuditEnd:
    """The end of an audit, told after all that it found."""

    id: str
    time: datetime
    """When the audit began."""
    audit: str
    node: str
    cleared: tuple[Clearance, ...]

    def clears(self, finding: AuditFinding) -> bool:
        """Whether it looked again at what an earlier finding rests on, and found nothing."""
        if self.node != finding.node or self.time <= finding.time:
            return False
        leans = finding.lean is not None and finding.lean.significant
        flips = finding.flips is not None and finding.flips.one_way > 0
        return any(
            each.label == finding.label and (each.lean or not leans) and (each.flips or not flips)
            for each in self.cleared
        )


def standing(
    findings: Iterable[AuditFinding], ends: Sequence[AuditEnd]
) -> tuple[AuditFinding, ...]:
    """Return the findings that no later audit cleared."""
    return tuple(each for each in findings if not any(end.clears(each) for end in ends))


def newest_of_each(findings: Iterable[AuditFinding]) -> tuple[AuditFinding, ...]:
    """Return the newest finding of each label of each snapshot, the most severe first."""
    newest: dict[tuple[str, str, str], AuditFinding] = {}
    for finding in sorted(findings, key=lambda each: (each.time, each.id)):
        newest[finding.node, finding.feature, finding.label] = finding
    known = (finding for finding in newest.values() if finding.label)
    return tuple(sorted(known, key=lambda each: (-each.severity, each.id)))
