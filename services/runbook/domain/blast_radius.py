"""What a plan touches, as far as the incident and lineage tell."""

from dataclasses import dataclass

from services.runbook.domain.evidence import Comparison
from services.runbook.domain.plan import MitigationKind, Plan


@dataclass(frozen=True)
class Downstream:
    """How many other models feel what one model predicts."""

    models: int | None
    """None: nobody can say."""
    reason: str = ""
    """Why not; empty where it is known."""

    def __str__(self) -> str:
        if self.models is None:
            return f"models downstream not known: {self.reason}"
        return f"{self.models or 'no'} model{'s' * (self.models > 1)} downstream"


NOT_ASKED = Downstream(None, "nobody asked")


@dataclass(frozen=True)
class BlastRadius:
    """How far a mitigation reaches."""

    models: int | None
    """The one it acts on and those downstream of it. None: nobody can say, so that it may be any
    number."""
    features: int | None
    """None: not known, as above."""
    examples: int | None
    """Considered in one window: the traffic that feels it. None: no window was looked at."""


def blast_radius(plan: Plan, comparison: Comparison | None, downstream: Downstream) -> BlastRadius:
    """Return what the plan touches.

    A rollback touches every feature that was compared, and so do actions on rows: checkpoints that
    are trained on other rows.
    """
    compared = comparison.feature_count if comparison else 0
    examples = comparison.anomaly.considered_count if comparison else 0
    # What audits found is acted on while nothing was compared.
    unknown = comparison is None and plan.kind.is_on_findings
    return BlastRadius(
        models=None if downstream.models is None else 1 + downstream.models,
        features=None if unknown and plan.kind.is_on_rows else _features(plan, compared),
        examples=None if unknown else examples,
    )


def _features(plan: Plan, compared: int) -> int:
    match plan.kind:
        case MitigationKind.KILL_SWITCH:
            return len(plan.features)
        case MitigationKind.ID_MASK:
            return len({each.feature for each in plan.labels})
        case _:
            return compared
