"""A database that is read-only, full, held up or gone: nothing is half done, and work goes on."""
# ruff: noqa: ASYNC110 - a file is watched

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_killed_features import SqlKilledFeatures
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.adapters.sqlite_checkpointer import SqliteCheckpointer
from services.runbook.domain.approval import Expert
from services.runbook.domain.audit import inspect
from services.runbook.domain.errors import RunbookError, StoreUnavailable
from services.runbook.domain.guardrail import GuardRails, Quorum
from services.runbook.domain.mitigation import MitigationState
from tests.postgres import PostgresServer
from tests.unit.services.runbook.builders import BROKEN, Runbook, rules
from tests.unit.services.runbook.builders import event as window_event

KEY = "aftershock.kill.ads_ctr.user_embedding"
FULL_PAGES = 8
MANY = 200


@dataclass
class Database:
    """A runbook on a database, and what can go wrong with that."""

    engine: Engine
    runbook: Runbook
    board: FlagBoard

    def configure(self, statement: str) -> None:
        """Run a statement on every connection, from now on."""
        self.engine.dispose()

        @event.listens_for(self.engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(statement)
            if not isinstance(connection, sqlite3.Connection):
                connection.commit()

    def on_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    async def flags(self) -> bool:
        return KEY in await self.board.configuration("ads_ctr")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer
) -> Iterator[Database]:
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/r.sqlite" if on_sqlite else postgres_server.empty_database()
    engine = open_engine(url)
    upgrade(engine)
    transactions = SqlTransactions(engine)
    killed = SqlKilledFeatures(transactions)
    board = FlagBoard(killed)
    runbook = Runbook(SqlStore(transactions, ChangeSignal()), FlagdSync(killed, board))
    yield Database(engine, runbook, board)
    engine.dispose()


async def refused(work: Callable[[], Any]) -> None:
    with pytest.raises(StoreUnavailable, match="try again") as refusal:
        await work()
    assert refusal.value.retry_after > 0


async def until_full(runbook: Runbook) -> int:
    """Close windows until one is refused; return how many were taken."""
    for hour in range(2, MANY):
        try:
            await runbook.open(window_event(hour, BROKEN))
        except StoreUnavailable:
            return hour - 1
    return MANY


async def intact(runbook: Runbook) -> None:
    report = await runbook.store.read(lambda unit: inspect(unit.audit.records(), ()))
    assert report.breaks == ()


async def test_a_read_only_database_refuses_decisions_and_serves_flags(database: Database) -> None:
    runbook = database.runbook
    await runbook.see(window_event(1, BROKEN))
    await runbook.say_yes()
    await runbook.worker.drain()
    assert await database.flags()
    read_only = (
        "PRAGMA query_only = {}"
        if database.on_sqlite()
        else ("SET SESSION CHARACTERISTICS AS TRANSACTION READ {}")
    )
    database.configure(read_only.format("ON" if database.on_sqlite() else "ONLY"))
    await refused(runbook.take_back)
    await refused(lambda: runbook.open(window_event(2, BROKEN)))
    await refused(runbook.pause)
    assert (await runbook.mitigation()).state is MitigationState.APPLIED
    await database.board.refresh()
    assert await database.flags()
    database.configure(read_only.format("OFF" if database.on_sqlite() else "WRITE"))
    await runbook.take_back()
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is MitigationState.REVERTED
    assert not await database.flags()
    await intact(runbook)


async def test_a_full_disk_takes_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/r.sqlite")
    upgrade(engine)
    transactions = SqlTransactions(engine)
    runbook = Runbook(SqlStore(transactions, ChangeSignal()))
    await runbook.see(window_event(1, BROKEN))
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    database = Database(engine, runbook, FlagBoard(SqlKilledFeatures(transactions)))
    database.configure(f"PRAGMA max_page_count = {pages + FULL_PAGES}")
    taken = await until_full(runbook)
    assert taken < MANY
    incident = await runbook.incident()
    assert len(incident.windows) == taken
    await intact(runbook)
    database.configure("PRAGMA max_page_count = 1000000")
    await runbook.open(window_event(MANY, BROKEN))
    assert len((await runbook.incident()).windows) == taken + 1
    engine.dispose()


async def test_a_database_that_is_held_up_is_waited_for(database: Database) -> None:
    runbook = database.runbook
    await runbook.see(window_event(1, BROKEN))
    begin = "BEGIN IMMEDIATE" if database.on_sqlite() else "LOCK TABLE mitigation, audit"
    connection = database.engine.raw_connection()
    connection.cursor().execute(begin)
    answer = asyncio.create_task(runbook.say_yes())
    await asyncio.sleep(0.3)
    assert not answer.done()
    connection.rollback()
    connection.close()
    assert (await answer).state is MitigationState.APPROVED
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is MitigationState.APPLIED


async def test_connections_that_are_cut_are_made_again(postgres_server: PostgresServer) -> None:
    url = postgres_server.empty_database()
    engine, another = open_engine(url), open_engine(url)
    upgrade(engine)
    runbook = Runbook(SqlStore(SqlTransactions(engine), ChangeSignal()))
    await runbook.see(window_event(1, BROKEN))
    with another.begin() as connection:
        cut = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        assert cut.all()
    await runbook.say_yes()
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state is MitigationState.APPLIED
    engine.dispose()
    another.dispose()


@pytest.mark.parametrize("experts", [2, 6])
async def test_approvers_who_race_make_one_quorum(database: Database, experts: int) -> None:
    runbook = database.runbook
    runbook.rules.rules = rules(guard_rails=GuardRails(quorums=(Quorum(2, features=1),)))
    await runbook.see(window_event(1, BROKEN))
    answers = await asyncio.gather(
        *(runbook.say_yes(Expert(f"expert-{n}", may_approve=True)) for n in range(experts)),
        return_exceptions=True,
    )
    assert all(isinstance(a, RunbookError) or not isinstance(a, Exception) for a in answers)
    mitigation = await runbook.mitigation()
    assert mitigation.state is MitigationState.APPROVED
    assert len({approval.actor for approval in mitigation.approvals}) == 2
    await runbook.worker.drain()
    assert [s.after for s in (await runbook.mitigation()).history].count("APPLIED") == 1


async def test_a_yes_and_a_pause_that_race_leave_no_act_in_a_pause(database: Database) -> None:
    runbook = database.runbook
    await runbook.see(window_event(1, BROKEN))
    await asyncio.gather(runbook.say_yes(), runbook.pause(), return_exceptions=True)
    await runbook.worker.drain()
    assert (await runbook.mitigation()).state in {
        MitigationState.PROPOSED,
        MitigationState.CONFLICTED,
    }


async def test_the_write_ahead_log_is_moved_while_nobody_waits(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/r.sqlite")
    upgrade(engine)
    runbook = Runbook(SqlStore(SqlTransactions(engine), ChangeSignal()))
    await runbook.see(window_event(1, BROKEN))

    def moved() -> bool:
        """Whether the database holds the incident without its log."""
        copy = tmp_path / "copy.sqlite"
        shutil.copy(tmp_path / "r.sqlite", copy)
        with closing(sqlite3.connect(copy)) as connection:
            tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'incident'")
            return bool(
                tables.fetchone() and connection.execute("SELECT 1 FROM incident").fetchone()
            )

    assert not moved()
    checkpointing = asyncio.create_task(SqliteCheckpointer(engine).run())
    async with asyncio.timeout(20):
        while not moved():
            await asyncio.sleep(0.05)
    checkpointing.cancel()
    engine.dispose()
