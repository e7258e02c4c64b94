"""Killed features in SQL: what a restart must not forget."""

from sqlmodel import Session, select

from services.runbook.adapters.sql_tables import KilledFeatureRow, KillKeyRow
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.kill_switch import restored, switched
from services.runbook.domain.plan import Change

_APPLIED = "APPLIED"
_REVERTED = "REVERTED"


class SqlKilledFeatures:
    """The killed features of all models, and what became of each mitigation's key."""

    def __init__(self, transactions: SqlTransactions) -> None:
        self._transactions = transactions

    async def read(self) -> frozenset[tuple[str, str]]:
        """Return the killed features as (model, feature). Raises StoreUnavailable."""
        return await self._transactions.read(
            lambda session: frozenset(
                (row.model, row.feature) for row in session.exec(select(KilledFeatureRow))
            )
        )

    async def switch(self, key: str, model: str, change: Change) -> None:
        """Apply the change atomically. Raises ActuatorConflict, StoreUnavailable."""
        await self._transactions.write(lambda session: _switch(session, key, model, change))

    async def restore(self, key: str, model: str, change: Change) -> None:
        """Undo the change atomically and refuse the key from now on. Raises StoreUnavailable."""
        await self._transactions.write(lambda session: _restore(session, key, model, change))


def _switch(session: Session, key: str, model: str, change: Change) -> None:
    used = session.get(KillKeyRow, key)
    if used is not None and used.state == _REVERTED:
        raise ActuatorConflict(f"{key} was taken back")
    if used is not None:
        return
    killed = _killed(session, model)
    _write(session, key, model, killed, switched(killed, change))
    session.add(KillKeyRow(key=key, state=_APPLIED))


def _restore(session: Session, key: str, model: str, change: Change) -> None:
    used = session.get(KillKeyRow, key) or KillKeyRow(key=key, state="")
    if used.state == _APPLIED:
        killed = _killed(session, model)
        _write(session, key, model, killed, restored(killed, change))
    used.state = _REVERTED
    session.add(used)


def _killed(session: Session, model: str) -> frozenset[str]:
    return frozenset(
        session.exec(select(KilledFeatureRow.feature).where(KilledFeatureRow.model == model))
    )


def _write(
    session: Session, key: str, model: str, before: frozenset[str], after: frozenset[str]
) -> None:
    for feature in before - after:
        session.delete(session.get_one(KilledFeatureRow, (model, feature)))
    session.add_all(KilledFeatureRow(model=model, feature=f, key=key) for f in after - before)
