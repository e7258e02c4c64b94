"""Carries out what the outbox holds."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.domain.errors import LeaseLost, RunbookError
from services.runbook.domain.work import Claim, WorkKind
from services.runbook.ports import Clock, Store

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.5
"""How soon what falls due, or what another replica committed, is seen."""
_LONGEST_PAUSE = 60.0

WorkTable = Mapping[WorkKind, Callable[[Claim], Awaitable[None]]]
"""The use case that carries each kind of work out."""


@dataclass(frozen=True)
class Worker:
    """One lane of work: its claims are carried out one after the other.

    Several workers, in one process or in several, share an outbox: a lease keeps them apart, and
    lapses if a worker dies.
    """

    store: Store
    clock: Clock
    changes: ChangeSignal
    table: WorkTable
    lease: timedelta

    async def run(self) -> None:
        """Work until cancelled."""
        called = False
        while True:
            seen = self.changes.count
            if await self._step(called=called):
                called = False
            else:
                await self.changes.wait(seen, _TICK_SECONDS)
                called = self.changes.count != seen

    async def drain(self) -> None:
        """Carry out everything that is due, and return."""
        while await self._step():
            pass

    async def _step(self, *, called: bool = False) -> bool:
        try:
            claim = await self._claim(called=called)
        except RunbookError as error:
            _log.warning("no work: %s", error)
            return False
        if claim is None:
            return False
        try:
            await self.table[claim.work.kind](claim)
        except LeaseLost as error:
            _log.warning("%s", error)
        except Exception as error:
            # The work stays wanted, whatever went wrong with this attempt.
            unexpected = not isinstance(error, RunbookError)
            _log.warning("%s failed: %s", claim.work.kind, error, exc_info=unexpected)
            await self._postpone(claim)
        return True

    async def _claim(self, *, called: bool) -> Claim | None:
        now = self.clock.now()
        kinds = tuple(self.table)
        # Looking is free; the right to write is not, so it is taken only where there is something,
        # as there is when the bell rings.
        if not called and not await self.store.read(lambda unit: unit.outbox.due(kinds, now)):
            return None
        return await self.store.transact(
            lambda unit: unit.outbox.claim(kinds, now, now + self.lease)
        )

    async def _postpone(self, claim: Claim) -> None:
        pause = min(2.0 ** (claim.attempt - 1), _LONGEST_PAUSE)
        due = self.clock.now() + timedelta(seconds=pause)
        try:
            await self.store.transact(lambda unit: unit.outbox.postpone(claim, due))
        except RunbookError as error:
            # The lease lapses, and somebody takes it up again.
            _log.warning("could not postpone: %s", error)
