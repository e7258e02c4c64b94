"""What a plan touches, as far as the incident itself tells."""

from dataclasses import dataclass

from services.runbook.domain.evidence import Comparison
from services.runbook.domain.plan import MitigationKind, Plan


@dataclass(frozen=True)
class BlastRadius:
    """How far a mitigation reaches. Models downstream of the one it acts on do not count."""

    models: int
    features: int
    examples: int
    """Considered in one window: the traffic that feels it."""

    def __str__(self) -> str:
        return f"{self.models} model, {self.features} features, {self.examples:,} examples a window"


def blast_radius(plan: Plan, comparison: Comparison | None) -> BlastRadius:
    """Return what the plan touches. A rollback touches every feature that was compared."""
    compared = comparison.feature_count if comparison else 0
    kills = plan.kind is MitigationKind.KILL_SWITCH
    return BlastRadius(
        models=1,
        features=len(plan.features) if kills else compared,
        examples=comparison.anomaly.considered_count if comparison else 0,
    )
