"""What holds of the databases beneath, and of every commit."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_tables import IncidentRow
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.errors import (
    StoreUnavailable,
)
from services.runbook.ports import Store
from tests.contract.runbook.keeping import PROPOSE, database_url, put
from tests.postgres import PostgresServer
from tests.unit.services.runbook.builders import (
    MODEL,
)


async def test_a_commit_rings(store: Store, changes: ChangeSignal) -> None:
    await store.read(lambda unit: unit.incidents.next_id())
    assert changes.count == 0
    await put(store, PROPOSE)
    assert changes.count == 1


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_database_itself_refuses_a_second_open_incident(
    database: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    engine = open_engine(database_url(database, tmp_path, postgres_server))
    upgrade(engine)

    def row(number: int, state: str) -> IncidentRow:
        return IncidentRow(number=number, model=MODEL, state=state, version=1, advice="")

    with Session(engine) as session:
        session.add_all([row(1, "CLOSED"), row(2, "CLOSED"), row(3, "OPEN")])
        session.commit()
        session.add(row(4, "OPEN"))
        with pytest.raises(IntegrityError):
            session.commit()
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["postgresql://nobody@/none?host=/nowhere", "sqlite:////proc/nowhere/runbook.sqlite"]
)
async def test_a_database_that_is_gone_is_unavailable_and_says_when_to_try_again(
    url: str,
) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    store = SqlStore(SqlTransactions(engine), ChangeSignal())
    for call in (store.read, store.transact):
        with pytest.raises(StoreUnavailable, match="try again") as failure:
            await call(lambda unit: unit.incidents.next_id())
        assert failure.value.retry_after > 0
