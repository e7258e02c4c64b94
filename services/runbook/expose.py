"""A worker brings a release to its stage, and ends it after the last."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

from services.runbook.domain.errors import ActuatorUnavailable
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import Mitigation, MitigationState, Stage
from services.runbook.domain.work import Claim
from services.runbook.ports import Actuator, Clock, Releases, Store, UnitOfWork, Watermarks


@dataclass(frozen=True)
class Expose:
    """Serves features again to the share of traffic that was decided."""

    store: Store
    actuator: Actuator
    releases: Releases
    watermarks: Watermarks
    clock: Clock
    patience: float
    """Seconds that the actuator has for one answer; shorter than a lease."""

    async def __call__(self, claim: Claim) -> None:
        """Carry the claimed work out.

        Raises:
            ActuatorUnavailable: try again later.
            LeaseLost: another worker has taken it over.
        """
        _, mitigation = await self.store.read(lambda unit: _target(unit, claim))
        if mitigation.state is MitigationState.RELEASING and mitigation.stage is not None:
            try:
                async with asyncio.timeout(self.patience):
                    await self._carry_out(mitigation, mitigation.stage)
            except TimeoutError as error:
                raise ActuatorUnavailable(f"no answer within {self.patience:g} s") from error
        await self._record(claim, mitigation)

    async def _carry_out(self, mitigation: Mitigation, stage: Stage) -> None:
        name, plan, change = mitigation.name, mitigation.plan, mitigation.change
        if stage.passed and change is not None:
            await self.actuator.revert(name, plan, change)
        else:
            await self.releases.expose(name, plan, stage.percent, len(mitigation.history))

    async def _record(self, claim: Claim, carried_out: Mitigation) -> None:
        newest_example = await self.watermarks.latest(carried_out.plan.model)

        def record(unit: UnitOfWork) -> None:
            unit.outbox.finish(claim)
            incident, mitigation = _target(unit, claim)
            # Somebody may have taken the release back meanwhile; the outbox holds that work next.
            if mitigation != carried_out or mitigation.state is not MitigationState.RELEASING:
                return
            if mitigation.stage is not None and mitigation.stage.passed:
                unit.incidents.save(self._released(incident, mitigation))
                return
            ends = (incident.windows_end, unit.feeds.newest_window_end(incident.model))
            past = newest_example + timedelta.resolution if newest_example else None
            known = [time for time in (*ends, past) if time]
            since = max(known, default=self.clock.now())
            stage = replace(mitigation.stage, since=since) if mitigation.stage else None
            unit.incidents.save(incident.with_mitigation(replace(mitigation, stage=stage)))

        await self.store.transact(record)

    def _released(self, incident: Incident, mitigation: Mitigation) -> Incident:
        ended = incident.with_mitigation(replace(mitigation, stage=None))
        return ended.moved(
            mitigation.id,
            MitigationState.RELEASED,
            actor=SERVICE,
            time=self.clock.now(),
            reason="calibration stayed healthy with all traffic served it again",
        ).advised("")


def _target(unit: UnitOfWork, claim: Claim) -> tuple[Incident, Mitigation]:
    incident = unit.incidents.get(claim.work.incident)
    return incident, incident.mitigation(claim.work.mitigation or "")
