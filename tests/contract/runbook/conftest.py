"""The store, over every implementation: memory, SQLite, PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.memory_incidents import MemoryStore
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.ports import Store
from tests.contract.runbook.keeping import database_url
from tests.postgres import PostgresServer


@pytest.fixture
def changes() -> ChangeSignal:
    return ChangeSignal()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(
    request: pytest.FixtureRequest,
    changes: ChangeSignal,
    tmp_path: Path,
    postgres_server: PostgresServer,
) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(changes)
        return
    engine = open_engine(database_url(request.param, tmp_path, postgres_server))
    upgrade(engine)
    yield SqlStore(SqlTransactions(engine), changes)
    engine.dispose()
