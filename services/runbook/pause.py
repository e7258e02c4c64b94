"""Somebody stops all mitigations, or lets them go on."""

from dataclasses import dataclass
from datetime import datetime

from services.runbook.domain.approval import Expert, check_role
from services.runbook.domain.pause import Pause, PauseState
from services.runbook.domain.work import WorkKind
from services.runbook.ports import Clock, Store, UnitOfWork


@dataclass(frozen=True)
class SetPause:
    """Begins or ends the pause. Saying what is so already changes nothing."""

    store: Store
    clock: Clock

    async def __call__(self, wanted: PauseState, expert: Expert, reason: str) -> Pause:
        """Return the pause as it is afterwards. Raises NotAnApprover."""
        check_role(expert)
        time = self.clock.now()
        return await self.store.transact(lambda unit: _set(unit, wanted, expert, reason, time))


def _set(
    unit: UnitOfWork, wanted: PauseState, expert: Expert, reason: str, time: datetime
) -> Pause:
    pause = unit.restraints.pause()
    if pause.state is wanted:
        return pause
    moved = pause.moved(wanted, actor=expert.name, time=time, reason=reason)
    unit.restraints.record(moved)
    if not moved.is_on:
        # What could not be proposed meanwhile.
        for incident_id in unit.catalogue.open_ids():
            unit.outbox.hasten(WorkKind.PROPOSE, incident_id)
    return moved
