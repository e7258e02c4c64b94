"""The runbook's store in SQL."""

from collections.abc import Callable
from typing import TypeVar

from sqlmodel import Session

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.sql_audit import SqlAudit
from services.runbook.adapters.sql_feeds import SqlFeeds
from services.runbook.adapters.sql_incidents import SqlIncidents
from services.runbook.adapters.sql_outbox import SqlOutbox
from services.runbook.adapters.sql_restraints import SqlRestraints
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.ports import UnitOfWork

T = TypeVar("T")


class SqlUnitOfWork:
    """One SQL transaction."""

    def __init__(self, session: Session) -> None:
        self.incidents = SqlIncidents(session)
        self.catalogue = self.incidents
        self.outbox = SqlOutbox(session)
        self.feeds = SqlFeeds(session)
        self.restraints = SqlRestraints(session, self.incidents)
        self.audit = SqlAudit(session)


class SqlStore:
    """Incidents, outbox and feeds in one database. Rings after each commit."""

    def __init__(self, transactions: SqlTransactions, changes: ChangeSignal) -> None:
        self._transactions = transactions
        self._changes = changes

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in one transaction and commit it. Raises StoreUnavailable."""
        result = await self._transactions.write(lambda session: work(SqlUnitOfWork(session)))
        self._changes.ring()
        return result

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which changes nothing, on a consistent view. Raises StoreUnavailable."""
        return await self._transactions.read(lambda session: work(SqlUnitOfWork(session)))
