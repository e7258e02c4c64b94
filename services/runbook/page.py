"""Somebody is called outside, and the timeline says whether that worked."""

from dataclasses import dataclass

from services.runbook.domain.errors import PagerUnavailable
from services.runbook.domain.incident import SERVICE
from services.runbook.domain.work import Claim
from services.runbook.ports import Clock, Pager, Store, UnitOfWork


@dataclass(frozen=True)
class Page:
    """Makes the calls that policies and escalations want."""

    store: Store
    pager: Pager | None
    """None: whoever watches incidents reads the call in the timeline."""
    clock: Clock
    most_attempts: int
    """Before the timeline says that nobody was reached."""

    async def __call__(self, claim: Claim) -> None:
        """Carry the claimed work out; a closed incident calls nobody any more.

        Raises:
            PagerUnavailable: try again later.
            LeaseLost: another worker has taken it over.
        """
        incident = await self.store.read(lambda unit: unit.incidents.get(claim.work.incident))
        call, told = claim.work.call, ""
        if self.pager is not None and call is not None and incident.is_open:
            told = f"{call.to} was called"
            try:
                await self.pager.page(call, incident.model)
            except PagerUnavailable as error:
                if claim.attempt < self.most_attempts:
                    raise
                told = f"{call.to} could not be called: {error}"
        await self.store.transact(lambda unit: self._record(unit, claim, told))

    def _record(self, unit: UnitOfWork, claim: Claim, told: str) -> None:
        unit.outbox.finish(claim)
        if told:
            incident = unit.incidents.get(claim.work.incident)
            unit.incidents.save(incident.noted(self.clock.now(), SERVICE, told))
