"""Later windows say whether it helped; what did not help is undone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.conclusion import Importances, judged, recovered, verification_of
from services.runbook.domain.incident import Incident, opened_on
from services.runbook.domain.mitigation import WATCHED, Mitigation, MitigationState
from services.runbook.domain.policy import Rules
from services.runbook.domain.release import staged
from services.runbook.domain.trigger import left_over
from services.runbook.domain.verification import Judgement
from services.runbook.domain.work import Claim, Work, WorkKind
from services.runbook.ports import Clock, ImportanceSource, PolicySource, Store, UnitOfWork

_S = MitigationState
_EFFECTS = {
    _S.REVERTING: WorkKind.REVERT,
    _S.APPLYING: WorkKind.APPLY,
    _S.RELEASING: WorkKind.EXPOSE,
}


@dataclass(frozen=True)
class Verify:
    """Looks at an incident's later windows and draws the consequence."""

    store: Store
    policies: PolicySource
    importances: ImportanceSource
    clock: Clock

    async def __call__(self, claim: Claim) -> None:
        """Carry the claimed work out.

        Raises:
            ImportancesUnavailable: try again later.
        """
        rules, time = self.policies.current(), self.clock.now()
        incident = await self.store.read(lambda unit: unit.incidents.get(claim.work.incident))
        known = await self._importances(incident, rules.verification.windows)
        await self.store.transact(lambda unit: _verify(unit, claim, rules, known, time))

    async def _importances(self, incident: Incident, needed: int) -> Importances:
        """Return the GFI of killed features in the window that decides, if one does."""
        known = {}
        for mitigation in _watched(incident):
            verification = verification_of(incident, mitigation, needed)
            features = mitigation.plan.features
            if not features and mitigation.plan.kind.is_on_findings:
                continue
            if verification and verification.judgement is not Judgement.INCONCLUSIVE:
                window = verification.windows[-1].name
                known[window] = await self.importances.gfi(window, features)
        return known


def _verify(
    unit: UnitOfWork, claim: Claim, rules: Rules, known: Importances, time: datetime
) -> None:
    unit.outbox.finish(claim)
    before = unit.incidents.get(claim.work.incident)
    after = before
    for mitigation in _watched(before):
        if mitigation.state is not _S.RELEASING:
            after = judged(after, mitigation, rules.verification, known, time)
        else:
            after = _released_further(unit, after, mitigation, rules, time)
    waiting = after.under_way is None or after.under_way.state is _S.PROPOSED
    if after is before and before.is_open and waiting:
        after = recovered(before, rules.verification.windows, time)
    if after is not before:
        unit.incidents.save(after)
        for work in _effects(before, after):
            unit.outbox.put(work)
        _go_on(unit, before, after, time)


def _go_on(unit: UnitOfWork, before: Incident, after: Incident, time: datetime) -> None:
    """Ask what else is to be done about what audits found, of an incident that closes elsewhere."""
    took_effect = any(
        new.state is _S.EFFECTIVE is not old.state
        for old, new in zip(before.mitigations, after.mitigations, strict=True)
    )
    if after.is_open and took_effect:
        unit.outbox.hasten(WorkKind.PROPOSE, after.id)
    found = left_over(after) if before.is_open and not after.is_open else ()
    if found:
        rest = opened_on(unit.incidents.next_id(), after.model, found, time)
        unit.incidents.save(rest)
        unit.outbox.hasten(WorkKind.PROPOSE, rest.id)


def _released_further(
    unit: UnitOfWork, incident: Incident, mitigation: Mitigation, rules: Rules, time: datetime
) -> Incident:
    needed = rules.verification.windows
    after = staged(incident, mitigation, rules.lease, needed, time)
    # While everything is paused a release goes back if it must, and no further.
    goes_on = after.mitigation(mitigation.id).state is _S.RELEASING
    return incident if goes_on and unit.restraints.pause().is_on else after


def _watched(incident: Incident) -> list[Mitigation]:
    return [mitigation for mitigation in incident.mitigations if mitigation.state in WATCHED]


def _effects(before: Incident, after: Incident) -> Iterator[Work]:
    """Yield what a worker has to do about the mitigations that moved on."""
    for old, new in zip(before.mitigations, after.mitigations, strict=True):
        moved = (old.state, old.stage) != (new.state, new.stage)
        if moved and new.state in _EFFECTS:
            yield Work(_EFFECTS[new.state], after.id, new.id)
