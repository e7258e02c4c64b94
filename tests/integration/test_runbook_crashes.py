"""A runbook that dies at a given moment, and the one that comes after it, on one database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlmodel import Session, col

from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_killed_features import SqlKilledFeatures
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_tables import AuditRow, WorkRow
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.mitigation import MitigationState, Stage
from tests.postgres import PostgresServer
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    MODEL,
    WALL_TIME,
    Runbook,
    Unreliable,
    event,
)

MOMENTS = ["plan", "apply", "applied"]


class Death(BaseException):
    """The process is gone: nothing after this runs."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runbook.sqlite"
    return postgres_server.empty_database()


@contextmanager
def process(url: str, dies_at: str = "", minutes_later: float = 0) -> Iterator[Runbook]:
    """Everything that a process holds, made anew."""
    engine = open_engine(url)
    upgrade(engine)
    transactions = SqlTransactions(engine)
    killed = SqlKilledFeatures(transactions)
    actuator = Unreliable({dies_at: [Death()]}, FlagdSync(killed, FlagBoard(killed)))
    runbook = Runbook(SqlStore(transactions, ChangeSignal()), actuator)
    runbook.clock.advance(minutes=minutes_later)
    yield runbook
    engine.dispose()


def audit(url: str) -> list[str]:
    engine = open_engine(url)
    with Session(engine) as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.sequence))  # type: ignore[arg-type]
        found = [f"{row.subject.rpartition('/')[2]} {row.before}>{row.after}" for row in rows]
        due = col(WorkRow.due) <= WALL_TIME + timedelta(minutes=2)
        assert not session.scalars(select(WorkRow).where(due)).all()
    engine.dispose()
    return found


@pytest.mark.parametrize("moment", MOMENTS)
async def test_death_while_applying(url: str, moment: str) -> None:
    with process(url, dies_at=moment) as runbook:
        await runbook.see(event(1, BROKEN))
        await runbook.say_yes()
        with pytest.raises(Death):
            await runbook.worker.drain()
    with process(url, minutes_later=1) as runbook:
        await runbook.worker.drain()
        mitigation = await runbook.mitigation()
        assert mitigation.state is MitigationState.APPLIED
        assert await runbook.actuator.observe(mitigation.plan) == {"user_embedding": "killed"}
    assert audit(url) == [
        "INC-1 >OPEN",
        "1 >PROPOSED",
        "1 PROPOSED>APPROVED",
        "1 APPROVED>APPLYING",
        "1 APPLYING>APPLIED",
    ]


async def test_death_between_yes_and_action(url: str) -> None:
    with process(url) as runbook:
        await runbook.see(event(1, BROKEN))
        await runbook.say_yes()
    with process(url) as runbook:
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is MitigationState.APPLIED


async def test_death_while_reverting(url: str) -> None:
    with process(url, dies_at="revert") as runbook:
        await runbook.see(event(1, BROKEN))
        await runbook.say_yes()
        await runbook.worker.drain()
        await runbook.see(event(2, BROKEN))
        with pytest.raises(Death):
            await runbook.see(event(3, BROKEN))
        assert (await runbook.mitigation()).state is MitigationState.REVERTING
    with process(url, minutes_later=1) as runbook:
        await runbook.worker.drain()
        mitigation = await runbook.mitigation()
        assert mitigation.state is MitigationState.REVERTED
        assert await runbook.actuator.observe(mitigation.plan) == {"user_embedding": "served"}
    assert audit(url)[-2:] == ["1 VERIFYING>REVERTING", "1 REVERTING>REVERTED"]


@pytest.mark.parametrize("moment", ["expose", "exposed"])
async def test_death_while_releasing(url: str, moment: str) -> None:
    with process(url, dies_at=moment) as runbook:
        await runbook.see(event(1, BROKEN))
        await runbook.say_yes()
        await runbook.worker.drain()
        await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
        await runbook.let_go()
        with pytest.raises(Death):
            await runbook.worker.drain()
    with process(url, minutes_later=1) as runbook:
        await runbook.worker.drain()
        mitigation = await runbook.mitigation()
        assert mitigation.state is MitigationState.RELEASING
        assert await runbook.actuator.observe(mitigation.plan) == {
            "user_embedding": "served to 1 %"
        }
        await runbook.see(event(4, HEALTHY), event(5, HEALTHY))
        assert (await runbook.mitigation()).stage == Stage(10, event(5, HEALTHY).window.end_time)
    assert audit(url)[-2:] == ["1 EFFECTIVE>RELEASING", "1 RELEASING>RELEASING"]


async def test_death_before_proposing(url: str) -> None:
    with process(url) as runbook:
        await runbook.open(event(1, BROKEN))
    with process(url) as runbook:
        await runbook.worker.drain()
        assert (await runbook.mitigation()).state is MitigationState.PROPOSED
        assert await runbook.store.read(lambda unit: unit.feeds.cursors()) == {MODEL: "1-0"}


async def test_replicas_share_the_work(url: str) -> None:
    with process(url) as one, process(url) as two:
        await one.see(event(1, BROKEN))
        await one.say_yes()
        await asyncio.gather(
            *(runbook.worker.drain() for runbook in (one, two)),
            *(runbook.open(event(hour, 1.0)) for runbook in (one, two) for hour in (2, 3)),
        )
        await asyncio.gather(one.worker.drain(), two.worker.drain())
        assert isinstance(one.actuator, Unreliable)
        assert isinstance(two.actuator, Unreliable)
        assert one.actuator.calls["apply"] + two.actuator.calls["apply"] == 1
        assert len((await one.incident()).windows) == 3
    audit(url)
