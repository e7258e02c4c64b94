"""A worker carries out what was decided: once, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from services.runbook.domain.conclusion import in_force
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.errors import (
    ActuatorConflict,
    ActuatorRefused,
    ActuatorUnavailable,
)
from services.runbook.domain.guardrail import BUDGET_TIME
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.lease import lapses, leased
from services.runbook.domain.mitigation import IN_FORCE, Mitigation, MitigationState
from services.runbook.domain.plan import Change
from services.runbook.domain.work import Claim, Work, WorkKind
from services.runbook.ports import (
    Actuator,
    Clock,
    PolicySource,
    Releases,
    Store,
    UnitOfWork,
    Watermarks,
)

_S = MitigationState
_Ways = Mapping[MitigationState, MitigationState]

_NOTHING_LEFT: _Ways = {}
_CONFLICT: _Ways = {_S.APPROVED: _S.CONFLICTED, _S.APPLYING: _S.CONFLICTED}
_REFUSED: _Ways = {_S.APPROVED: _S.CONFLICTED, _S.APPLYING: _S.FAILED}
# What cannot be confirmed may have happened, so it is undone; what was not begun has not happened.
_UNCONFIRMED: _Ways = {_S.APPROVED: _S.CONFLICTED, _S.APPLYING: _S.REVERTING}
_UNDONE: _Ways = {_S.REVERTING: _S.REVERTED}
_NOT_UNDONE: _Ways = {_S.REVERTING: _S.FAILED}


@dataclass(frozen=True)
class Act:
    """Applies and reverts mitigations by an actuator.

    What is found is recorded before anything is changed, and the actuator hears one key a
    mitigation: a worker that takes over from one that died repeats its call, not its effect.
    """

    store: Store
    actuator: Actuator
    releases: Releases
    policies: PolicySource
    watermarks: Watermarks
    clock: Clock
    most_attempts: int
    """Before what cannot be confirmed is undone, and what cannot be undone is given to a person."""
    patience: float
    """Seconds that the actuator has for one answer; shorter than a lease."""

    async def __call__(self, claim: Claim) -> None:
        """Carry the claimed work out.

        Raises:
            ActuatorUnavailable: try again later.
            LeaseLost: another worker has taken it over.
        """
        carry_out = self._apply if claim.work.kind is WorkKind.APPLY else self._revert
        await carry_out(claim)

    async def _apply(self, claim: Claim) -> None:
        try:
            mitigation = await self._begun(claim)
            if mitigation is None:
                return
            if mitigation.state is not _S.APPLYING or mitigation.change is None:
                await self._end(claim, _NOTHING_LEFT)
                return
            await self._put_in_force(mitigation, mitigation.change)
        except ActuatorConflict as error:
            await self._end(claim, _CONFLICT, str(error))
        except ActuatorRefused as error:
            await self._end(claim, _REFUSED, str(error))
        except ActuatorUnavailable as error:
            if claim.attempt < self.most_attempts:
                raise
            await self._end(claim, _UNCONFIRMED, str(error))
        else:
            await self._applied(claim, mitigation)

    async def _revert(self, claim: Claim) -> None:
        _, mitigation = await self.store.read(lambda unit: _target(unit, claim))
        if mitigation.state is not _S.REVERTING or mitigation.change is None:
            await self._end(claim, _NOTHING_LEFT)
            return
        try:
            async with _answer_within(self.patience):
                await self.actuator.revert(mitigation.name, mitigation.plan, mitigation.change)
        except ActuatorUnavailable as error:
            if claim.attempt < self.most_attempts:
                raise
            await self._end(claim, _NOT_UNDONE, f"could not be taken back: {error}")
        else:
            await self._end(claim, _UNDONE, mitigation.reason)

    async def _begun(self, claim: Claim) -> Mitigation | None:
        """Return the mitigation, APPLYING from now on if it was approved.

        None: a guard rail held it back, which ended it.
        """
        _, mitigation = await self.store.read(lambda unit: _target(unit, claim))
        if mitigation.state is not _S.APPROVED:
            return mitigation
        async with _answer_within(self.patience):
            change = await self.actuator.plan(mitigation.plan)
        return await self.store.transact(lambda unit: self._begin(unit, claim, change))

    def _begin(self, unit: UnitOfWork, claim: Claim, change: Change) -> Mitigation | None:
        incident, mitigation = _target(unit, claim)
        if mitigation.state is not _S.APPROVED:
            return mitigation
        time = self.clock.now()
        circumstances = unit.restraints.circumstances(time - BUDGET_TIME)
        rails = self.policies.current().guard_rails
        if refusal := rails.refusal(mitigation.plan, circumstances, time):
            # What held it back may be over a moment later: it ends where it was looked at.
            unit.outbox.finish(claim)
            unit.incidents.save(self._moved(incident, mitigation, _S.CONFLICTED, refusal))
            return None
        recorded = incident.with_mitigation(replace(mitigation, change=change))
        begun = self._moved(recorded, mitigation, _S.APPLYING, "")
        unit.incidents.save(begun)
        return begun.mitigation(mitigation.id)

    async def _put_in_force(self, mitigation: Mitigation, change: Change) -> None:
        async with _answer_within(self.patience):
            if mitigation.stage is None:
                await self.actuator.apply(mitigation.name, mitigation.plan, change)
            else:
                step = len(mitigation.history)
                await self.releases.expose(mitigation.name, mitigation.plan, 0, step)
            observed = await self.actuator.observe(mitigation.plan)
        if observed != change.target:
            raise ActuatorUnavailable(f"applied, but what is in force is {dict(observed)}")

    async def _applied(self, claim: Claim, mitigation: Mitigation) -> None:
        rules = self.policies.current()
        needed = rules.verification.windows
        newest_example = await self.watermarks.latest(mitigation.plan.model)

        def record(unit: UnitOfWork) -> None:
            unit.outbox.finish(claim)
            incident, mitigation = _target(unit, claim)
            # A person may have taken it back meanwhile; the outbox holds that work next.
            if mitigation.state is not _S.APPLYING:
                return
            ends = (incident.windows_end, unit.feeds.newest_window_end(incident.model))
            # An example of time t was scored without it: what starts at t holds that example.
            past = newest_example + timedelta.resolution if newest_example else None
            now = self.clock.now()
            after = max((time for time in (*ends, past) if time), default=now)
            granted = leased(replace(mitigation, applied_after=after, stage=None), rules.lease, now)
            applied = self._moved(incident.with_mitigation(granted), granted, _S.APPLIED, "")
            unit.incidents.save(applied.advised(in_force(granted, needed)))
            # No window says more about what acts on later checkpoints.
            wait = timedelta(0) if granted.plan.kind.is_on_rows else rules.verification.patience
            unit.outbox.put(Work(WorkKind.VERIFY, incident.id), now + wait)
            for due in lapses(granted, rules.lease):
                unit.outbox.put(Work(WorkKind.LAPSE, incident.id), due)

        await self.store.transact(record)

    async def _end(self, claim: Claim, ways: _Ways, why: str = "") -> None:
        """Finish the work and move the mitigation on, if its state still has a way to go."""

        def end(unit: UnitOfWork) -> None:
            unit.outbox.finish(claim)
            incident, mitigation = _target(unit, claim)
            to = ways.get(mitigation.state)
            if to is None:
                return
            unit.incidents.save(self._moved(incident, mitigation, to, why))
            if to is _S.REVERTING:
                work = Work(WorkKind.REVERT, incident.id, mitigation.id)
                unit.outbox.put(work)
            elif incident.is_open and incident.verdict is IncidentVerdict.NATURAL_TRIGGER:
                # No window will ask what is to become of it.
                unit.outbox.hasten(WorkKind.PROPOSE, incident.id)

        await self.store.transact(end)

    def _moved(
        self, incident: Incident, mitigation: Mitigation, to: MitigationState, why: str
    ) -> Incident:
        time = self.clock.now()
        moved = incident.moved(mitigation.id, to, actor=SERVICE, time=time, reason=why)
        if not incident.is_open or to in IN_FORCE - {_S.FAILED}:
            return moved
        model = incident.model.removeprefix("models/")
        because = f" ({why})" if why else ""
        return moved.advised(
            f"{to.capitalize()}: {mitigation.plan}{because}. {model} needs a person."
        )


@asynccontextmanager
async def _answer_within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise ActuatorUnavailable(f"no answer within {seconds:g} s") from error


def _target(unit: UnitOfWork, claim: Claim) -> tuple[Incident, Mitigation]:
    incident = unit.incidents.get(claim.work.incident)
    return incident, incident.mitigation(claim.work.mitigation or "")
