"""What audits find in the data that models are trained on: labels that could hijack them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


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

    @property
    def share(self) -> float:
        """Of the examples, those whose prediction crossed the threshold one way."""
        return max(self.flipped_up, self.flipped_down) / max(self.example_count, 1)

    def __str__(self) -> str:
        up, down = self.flipped_up, self.flipped_down
        way = "up" if up >= down else "down"
        return f"flips {max(up, down):,} of {self.example_count:,} predictions {way}"


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


def newest_of_each(findings: Iterable[AuditFinding]) -> tuple[AuditFinding, ...]:
    """Return the newest finding of each label of each snapshot, the most severe first."""
    newest: dict[tuple[str, str, str], AuditFinding] = {}
    for finding in sorted(findings, key=lambda each: (each.time, each.id)):
        newest[finding.node, finding.feature, finding.label] = finding
    known = (finding for finding in newest.values() if finding.label)
    return tuple(sorted(known, key=lambda each: (-each.severity, each.id)))
