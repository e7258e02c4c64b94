"""Limits that no policy and no person crosses."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from services.runbook.domain.plan import Plan


@dataclass(frozen=True)
class FreezeWindow:
    """A stretch of wall time in which nothing is switched off. Taking back stays possible."""

    start: datetime
    end: datetime
    """Exclusive."""
    reason: str


@dataclass(frozen=True)
class GuardRails:
    """Checked when a plan is made and again when it is carried out."""

    never_kill: tuple[str, ...] = ()
    """Features that are always served: `feature` in every model or `model/feature` in one; `*` and
    `?` match as in file names."""
    most_features_at_once: int = 3
    """Of one mitigation."""
    most_features_killed: int = 10
    """Killed at the same time, over all models."""
    freeze_windows: tuple[FreezeWindow, ...] = ()

    def protected(self, model: str, features: Sequence[str]) -> tuple[str, ...]:
        """Return those of the model's features that are always served."""
        model_id = model.removeprefix("models/")
        return tuple(
            feature
            for feature in features
            if any(
                fnmatchcase(feature, rule) or fnmatchcase(f"{model_id}/{feature}", rule)
                for rule in self.never_kill
            )
        )

    def refusal(self, plan: Plan, in_force: Collection[Plan], time: datetime) -> str | None:
        """Return why the plan must not be carried out now, beside those in force. None: it may."""
        frozen = [window for window in self.freeze_windows if window.start <= time < window.end]
        if frozen:
            longest = max(frozen, key=lambda window: window.end)
            return (
                f"nothing is switched off until {longest.end:%Y-%m-%d %H:%M} UTC: "
                f"{longest.reason} (freeze_windows)"
            )
        if protected := self.protected(plan.model, plan.features):
            return f"{', '.join(protected)} must never be switched off (never_kill)"
        if len(plan.features) > self.most_features_at_once:
            return (
                f"{len(plan.features)} features at once is more than "
                f"{self.most_features_at_once} (most_features_at_once)"
            )
        killed = {(other.model, feature) for other in in_force for feature in other.features}
        together = killed | {(plan.model, feature) for feature in plan.features}
        if len(together) > self.most_features_killed:
            return (
                f"{len(killed)} features are switched off already; with this plan it would be "
                f"{len(together)}, more than {self.most_features_killed} (most_features_killed)"
            )
        return None
