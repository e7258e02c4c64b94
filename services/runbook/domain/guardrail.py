"""Limits that no policy and no person crosses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from services.runbook.domain.blast_radius import BlastRadius
from services.runbook.domain.pause import Pause
from services.runbook.domain.plan import MitigationKind, Plan

BUDGET_TIME = timedelta(days=1)
"""The daily budget is of the last 24 hours, at any time of the day."""


@dataclass(frozen=True)
class FreezeWindow:
    """A stretch of wall time in which nothing is switched off. Taking back stays possible."""

    start: datetime
    end: datetime
    """Exclusive."""
    reason: str


@dataclass(frozen=True)
class Quorum:
    """How many distinct approvers a mitigation takes that touches so much, or more."""

    approvers: int
    features: int | None = None
    examples: int | None = None
    """Considered in one window."""
    models: int | None = None
    """The one it acts on, and those downstream."""

    def is_for(self, radius: BlastRadius) -> bool:
        """Whether the blast radius reaches one of the limits; what is not known reaches any."""
        limits = (
            (self.features, radius.features),
            (self.examples, radius.examples),
            (self.models, radius.models),
        )
        return any(
            limit is not None and (reached is None or reached >= limit) for limit, reached in limits
        )


@dataclass(frozen=True)
class Begun:
    """A mitigation that was begun."""

    model: str
    time: datetime


@dataclass(frozen=True)
class Circumstances:
    """What else is going on when a plan is looked at."""

    in_force: Sequence[Plan] = ()
    """Plans that have, or may have, their effect."""
    begun: Sequence[Begun] = ()
    """In the last day or longer, whatever became of them."""
    pause: Pause = field(default_factory=Pause)


@dataclass(frozen=True)
class GuardRails:
    """Checked when a plan is made, when it is approved and again when it is carried out."""

    never_kill: tuple[str, ...] = ()
    """Features that are always served: `feature` in every model or `model/feature` in one; `*` and
    `?` match as in file names."""
    most_features_at_once: int = 3
    """Of one mitigation."""
    most_features_killed: int = 10
    """Killed at the same time, over all models."""
    most_features_killed_of_model: int = 5
    """Killed at the same time, of one model."""
    most_labels_at_once: int = 10
    """Of one mitigation: ids that are masked, or labels whose rows are acted on."""
    most_ids_masked_of_model: int = 50
    """Masked at the same time, of one model."""
    cool_down: timedelta = timedelta(minutes=10)
    """Between the beginnings of two mitigations of one model."""
    daily_budget: int = 20
    """Mitigations begun in 24 hours, over all models."""
    quorums: tuple[Quorum, ...] = ()
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

    def required_approvals(self, radius: BlastRadius) -> int:
        """Return how many distinct approvers a mitigation of that blast radius takes."""
        return max((q.approvers for q in self.quorums if q.is_for(radius)), default=1)

    def refusal(self, plan: Plan, circumstances: Circumstances, time: datetime) -> str | None:
        """Return why the plan must not be carried out now. None: it may."""
        return next(self._refusals(plan, circumstances, time), None)

    def _refusals(self, plan: Plan, around: Circumstances, time: datetime) -> Iterator[str]:
        if around.pause.is_on:
            yield str(around.pause)
        yield from self._frozen(time)
        yield from self._hurried(plan, around.begun, time)
        if protected := self.protected(plan.model, plan.features):
            yield f"{', '.join(protected)} must never be switched off (never_kill)"
        if len(plan.features) > self.most_features_at_once:
            yield (
                f"{len(plan.features)} features at once is more than "
                f"{self.most_features_at_once} (most_features_at_once)"
            )
        yield from self._too_much_off(plan, around.in_force)
        yield from self._too_much_masked(plan, around.in_force)

    def _frozen(self, time: datetime) -> Iterator[str]:
        frozen = [window for window in self.freeze_windows if window.start <= time < window.end]
        if frozen:
            longest = max(frozen, key=lambda window: window.end)
            yield (
                f"nothing is switched off until {longest.end:%Y-%m-%d %H:%M} UTC: "
                f"{longest.reason} (freeze_windows)"
            )

    def _hurried(self, plan: Plan, begun: Sequence[Begun], time: datetime) -> Iterator[str]:
        last = max((other.time for other in begun if other.model == plan.model), default=None)
        if last is not None and time < last + self.cool_down:
            yield (
                f"the model's last mitigation was begun at {last:%H:%M:%S} UTC; the next may begin "
                f"at {last + self.cool_down:%H:%M:%S} UTC (cool_down_minutes)"
            )
        today = [other for other in begun if time - other.time < BUDGET_TIME]
        if len(today) >= self.daily_budget:
            yield (
                f"{len(today)} mitigations were begun in the last 24 hours, and no more than "
                f"{self.daily_budget} may be (daily_budget)"
            )

    def _too_much_masked(self, plan: Plan, in_force: Sequence[Plan]) -> Iterator[str]:
        if len(plan.labels) > self.most_labels_at_once:
            yield (
                f"{len(plan.labels)} labels at once is more than {self.most_labels_at_once} "
                "(most_labels_at_once)"
            )
        if plan.kind is not MitigationKind.ID_MASK:
            return
        ours = (other for other in (plan, *in_force) if other.model == plan.model)
        masked = {lever for o in ours if o.kind is MitigationKind.ID_MASK for lever in o.target}
        if len(masked) > self.most_ids_masked_of_model:
            yield (
                f"with this plan {len(masked)} ids of the model would be masked, more than "
                f"{self.most_ids_masked_of_model} (most_ids_masked_of_model)"
            )

    def _too_much_off(self, plan: Plan, in_force: Sequence[Plan]) -> Iterator[str]:
        killed = {(other.model, feature) for other in in_force for feature in other.features}
        together = killed | {(plan.model, feature) for feature in plan.features}
        before = sum(model == plan.model for model, _ in killed)
        after = sum(model == plan.model for model, _ in together)
        if after > self.most_features_killed_of_model:
            yield (
                f"{before} features of the model are switched off already; with this plan it would "
                f"be {after}, more than {self.most_features_killed_of_model} "
                "(most_features_killed_of_model)"
            )
        if len(together) > self.most_features_killed:
            yield (
                f"{len(killed)} features are switched off already; with this plan it would be "
                f"{len(together)}, more than {self.most_features_killed} (most_features_killed)"
            )
