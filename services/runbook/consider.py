"""What policies want to do about an incident, and what it would bring."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.runbook.domain.errors import ConditionFailed, PreviewUnavailable
from services.runbook.domain.evidence import Window
from services.runbook.domain.finding_plan import measured
from services.runbook.domain.guardrail import GuardRails
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.policy import Policy
from services.runbook.domain.preview import JointAblation, MissingPreview, Preview, predict
from services.runbook.domain.proposal import (
    Draft,
    Proposal,
    Situation,
    conclude,
    draft,
    guarded,
    unhelpful,
)
from services.runbook.domain.rollback import Registered
from services.runbook.domain.smallest_set import recommend, sets_of
from services.runbook.ports import Previewer


@dataclass(frozen=True)
class Consider:
    """Asks policies one after the other, and the model about what the first one wants."""

    previewer: Previewer

    async def __call__(
        self, policies: Sequence[Policy], rails: GuardRails, situation: Situation
    ) -> Proposal | str:
        """Return what they would do, or why it is nothing."""
        try:
            wanted = draft(policies, rails, situation)
            if isinstance(wanted, str):
                return wanted
            if wanted.plan.kind is MitigationKind.KILL_SWITCH:
                return await self._smallest(wanted, rails, situation)
            if wanted.plan.kind.is_on_findings:
                return conclude(wanted, await self._on_findings(wanted))
            return conclude(wanted, await self._with(wanted, situation.registered))
        except ConditionFailed as error:
            return f"A policy could not be followed: {error}. This needs a person."

    async def _smallest(
        self, wanted: Draft, rails: GuardRails, situation: Situation
    ) -> Proposal | str:
        """Return the proposal of the smallest kill-switch that does as well as any."""
        enough = await self._enough(wanted)
        if isinstance(enough, str):
            return enough
        plan, preview = enough
        # Fewer features than the policy selected may have been decided about before.
        wanted_or_why = guarded(replace(wanted, plan=plan), rails, situation)
        if isinstance(wanted_or_why, str):
            return wanted_or_why
        return conclude(wanted_or_why, preview)

    async def _enough(self, wanted: Draft) -> tuple[Plan, Preview | MissingPreview] | str:
        """Return the smallest plan that does as well as the best, or why none is worth it."""
        plan = wanted.plan
        sets = sets_of(plan.features)
        try:
            window = _window(wanted)
            ablations = await self.previewer.ablate(window.name, sets)
            _check_window(window, *ablations)
            by_set = dict(zip(sets, ablations, strict=True))
            features, preview = recommend(window.calibration, by_set)
            if not features:
                return unhelpful(plan, predict(window.calibration, by_set[plan.features]))
            return replace(plan, features=features), preview
        except PreviewUnavailable as error:
            return plan, MissingPreview(str(error))

    async def _on_findings(self, wanted: Draft) -> Preview | MissingPreview:
        """Return what calibration would be without the ids, or why nobody can tell."""
        plan, why = wanted.plan, "it acts on checkpoints that are not trained yet"
        if plan.kind is MitigationKind.ID_MASK:
            try:
                window = wanted.case.window or await self.previewer.newest(plan.model)
                masked = await self.previewer.mask(window.name, plan.labels)
                _check_window(window, masked)
                return predict(window.calibration, masked)
            except PreviewUnavailable as error:
                why = str(error)
        return measured(plan, wanted.case.findings, why)

    async def _with(self, wanted: Draft, registered: Registered | str) -> Preview | MissingPreview:
        """Return what calibration would be with the checkpoint that is gone back to."""
        version = wanted.plan.checkpoint
        known = None if isinstance(registered, str) else registered.checkpoint(version)
        if known is None:
            return MissingPreview(f"the registry does not say what version {version} is")
        try:
            window = _window(wanted)
            replaced = await self.previewer.replace(window.name, known)
            _check_window(window, replaced)
            return predict(window.calibration, replaced)
        except PreviewUnavailable as error:
            return MissingPreview(str(error))


def _window(wanted: Draft) -> Window:
    if wanted.case.window is None:
        raise PreviewUnavailable("no window of the incident is anomalous")
    return wanted.case.window


def _check_window(window: Window, *ablations: JointAblation) -> None:
    if any(each.checkpoint_digest != window.checkpoint_digest for each in ablations):
        raise PreviewUnavailable("attribution holds another checkpoint than the window's")
