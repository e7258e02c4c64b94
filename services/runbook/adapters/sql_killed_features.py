"""Killed features and masked ids in SQL: what a restart must not forget."""

from collections.abc import Mapping

from sqlmodel import Session, select

from services.runbook.adapters.sql_tables import KilledFeatureRow, KillKeyRow
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.kill_switch import Kill, Kills, restored, switched
from services.runbook.domain.plan import Change

_APPLIED = "APPLIED"
_REVERTED = "REVERTED"


class SqlKilledFeatures:
    """What is switched off of all models, and what became of each mitigation's key."""

    def __init__(self, transactions: SqlTransactions) -> None:
        self._transactions = transactions

    async def read(self) -> Mapping[tuple[str, str], Kill]:
        """Return what is switched off by (model, lever). Raises StoreUnavailable."""
        return await self._transactions.read(
            lambda session: {
                (row.model, row.feature): _kill(row)
                for row in session.exec(select(KilledFeatureRow))
            }
        )

    async def switch(self, key: str, model: str, change: Change) -> None:
        """Apply the change atomically. Raises ActuatorConflict, StoreUnavailable."""
        await self._transactions.write(lambda session: _switch(session, key, model, change))

    async def restore(self, key: str, model: str, change: Change) -> None:
        """Undo the change atomically and refuse the key from now on. Raises StoreUnavailable."""
        await self._transactions.write(lambda session: _restore(session, key, model, change))

    async def expose(self, key: str, percent: int, step: int) -> None:
        """Set the share of traffic that what the key switched off is served to, unless a later
        step did. Raises StoreUnavailable."""
        await self._transactions.write(lambda session: _expose(session, key, percent, step))


def _switch(session: Session, key: str, model: str, change: Change) -> None:
    used = session.get(KillKeyRow, key)
    if used is not None and used.state == _REVERTED:
        raise ActuatorConflict(f"{key} was taken back")
    if used is not None:
        return
    kills = _kills(session, model)
    _write(session, model, kills, switched(kills, key, change))
    session.add(KillKeyRow(key=key, state=_APPLIED))


def _restore(session: Session, key: str, model: str, change: Change) -> None:
    used = session.get(KillKeyRow, key) or KillKeyRow(key=key, state="")
    if used.state == _APPLIED:
        kills = _kills(session, model)
        _write(session, model, kills, restored(kills, key, change))
    used.state = _REVERTED
    session.add(used)


def _expose(session: Session, key: str, percent: int, step: int) -> None:
    for row in session.exec(select(KilledFeatureRow).where(KilledFeatureRow.key == key)).all():
        kill = _kill(row).exposed(percent, step)
        row.served_percent, row.step = kill.served_percent, kill.step
        session.add(row)


def _kill(row: KilledFeatureRow) -> Kill:
    return Kill(row.key, row.served_percent, row.step)


def _kills(session: Session, model: str) -> Kills:
    rows = session.exec(select(KilledFeatureRow).where(KilledFeatureRow.model == model))
    return {row.feature: _kill(row) for row in rows}


def _write(session: Session, model: str, before: Kills, after: Kills) -> None:
    for feature in before.keys() - after.keys():
        session.delete(session.get_one(KilledFeatureRow, (model, feature)))
    session.add_all(
        KilledFeatureRow(model=model, feature=feature, key=after[feature].key)
        for feature in after.keys() - before.keys()
    )
