"""The runbook's store in SQL."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlmodel import Session

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.sql_audit import SqlAudit
from services.runbook.adapters.sql_feeds import SqlFeeds
from services.runbook.adapters.sql_findings import SqlFindings
from services.runbook.adapters.sql_incidents import SqlIncidents
from services.runbook.adapters.sql_outbox import SqlOutbox
from services.runbook.adapters.sql_restraints import SqlRestraints
from services.runbook.adapters.sql_surfaces import SqlSurfaces
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.work import WorkKind
from services.runbook.ports import UnitOfWork

T = TypeVar("T")
_NO_BELLS: Mapping[WorkKind, ChangeSignal] = {}


class SqlUnitOfWork:
    """One SQL transaction."""

    def __init__(self, session: Session) -> None:
        self.incidents = SqlIncidents(session)
        self.catalogue = self.incidents
        self.outbox = SqlOutbox(session)
        self.feeds = SqlFeeds(session)
        self.findings = SqlFindings(session)
        self.restraints = SqlRestraints(session)
        self.surfaces = SqlSurfaces(session)
        self.audit = SqlAudit(session)


class SqlStore:
    """Incidents, outbox and feeds in one database. Rings after each commit."""

    def __init__(
        self,
        transactions: SqlTransactions,
        changes: ChangeSignal,
        bells: Mapping[WorkKind, ChangeSignal] = _NO_BELLS,
    ) -> None:
        """Keep to a database.

        Args:
            transactions: on it.
            changes: rung after each commit.
            bells: rung after a commit that wants work of the kind done at once.
        """
        self._transactions = transactions
        self._changes = changes
        self._bells = bells

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in one transaction and commit it. Raises StoreUnavailable."""

        def in_unit(session: Session) -> tuple[T, set[WorkKind]]:
            unit = SqlUnitOfWork(session)
            return work(unit), unit.outbox.asked

        result, asked = await self._transactions.write(in_unit)
        for bell in {self._bells[kind] for kind in asked & self._bells.keys()}:
            bell.ring()
        self._changes.ring()
        return result

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which changes nothing, on a consistent view. Raises StoreUnavailable."""
        return await self._transactions.read(lambda session: work(SqlUnitOfWork(session)))
