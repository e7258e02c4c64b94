"""The schema, up and down, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect

from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_schema import downgrade, upgrade
from services.runbook.adapters.sql_tables import IncidentRow
from tests.postgres import PostgresServer

METADATA = IncidentRow.metadata
TABLES = set(METADATA.tables)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new folder/runbook.sqlite"
    return postgres_server.empty_database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = open_engine(url)
    yield opened
    opened.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_up_down_and_up_again(engine: Engine) -> None:
    for _ in range(2):
        upgrade(engine)
        assert tables(engine) == TABLES
        upgrade(engine)
        downgrade(engine, "base")
        assert tables(engine) == set()


def test_the_migrations_make_what_the_code_expects(engine: Engine) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_replicas_that_start_together_migrate_once(url: str) -> None:
    def start(_: int) -> set[str]:
        engine = open_engine(url)
        upgrade(engine)
        found = tables(engine)
        engine.dispose()
        return found

    with ThreadPoolExecutor(4) as replicas:
        assert list(replicas.map(start, range(4))) == [TABLES] * 4
