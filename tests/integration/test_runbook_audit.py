"""The audit on real databases, and somebody with a database client."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from services.runbook.adapters.anchor_file import AnchorFile
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_schema import downgrade, upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.anchor_audit import AnchorAudit
from services.runbook.domain.audit import AuditReport
from services.runbook.verify_audit import VerifyAudit
from tests.postgres import PostgresServer
from tests.unit.services.runbook.builders import BROKEN, HEALTHY, Runbook, event


@dataclass
class Audited:
    """A runbook on a database, and its anchors."""

    engine: Engine
    runbook: Runbook
    anchors: AnchorFile

    async def report(self) -> AuditReport:
        return await VerifyAudit(self.runbook.store, self.anchors)()

    async def anchor(self) -> None:
        await AnchorAudit(self.runbook.store, self.anchors, self.runbook.clock)()

    async def live(self) -> None:
        """Go through a whole incident."""
        await self.runbook.see(event(1, BROKEN))
        await self.runbook.say_yes()
        await self.runbook.worker.drain()
        await self.runbook.see(event(2, HEALTHY), event(3, HEALTHY))

    def tamper(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                assert connection.execute(text(statement)).rowcount == 1


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runbook.sqlite"
    return postgres_server.empty_database()


@pytest.fixture
def audited(url: str, tmp_path: Path) -> Iterator[Audited]:
    engine = open_engine(url)
    upgrade(engine)
    runbook = Runbook(SqlStore(SqlTransactions(engine), ChangeSignal()))
    yield Audited(engine, runbook, AnchorFile(tmp_path / "anchors"))
    engine.dispose()


async def test_what_the_runbook_writes_is_intact(audited: Audited) -> None:
    assert (await audited.report()).record_count == 0
    await audited.anchor()
    await audited.live()
    for _ in range(2):
        await audited.anchor()
    report = await audited.report()
    assert report.breaks == ()
    assert (report.record_count, report.anchor_count) == (8, 1)


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE audit SET actor = 'nobody' WHERE sequence = 3",),
        ("UPDATE audit SET hash = 'x' WHERE sequence = 3",),
        ("DELETE FROM audit WHERE sequence = 3",),
        ("DELETE FROM audit WHERE sequence = 1",),
        (
            "UPDATE audit SET sequence = 99 WHERE sequence = 3",
            "UPDATE audit SET sequence = 3 WHERE sequence = 4",
            "UPDATE audit SET sequence = 4 WHERE sequence = 99",
        ),
    ],
)
async def test_tampering_is_found(audited: Audited, statements: tuple[str, ...]) -> None:
    await audited.live()
    audited.tamper(*statements)
    assert (await audited.report()).breaks


async def test_the_newest_rows_are_missed_once_they_are_anchored(audited: Audited) -> None:
    await audited.live()
    await audited.anchor()
    audited.tamper("DELETE FROM audit WHERE sequence = 8", "DELETE FROM audit WHERE sequence = 7")
    (broken,) = (await audited.report()).breaks
    assert "record 8 is gone" in broken


async def test_replicas_write_one_chain(audited: Audited) -> None:
    others = [Runbook(SqlStore(SqlTransactions(audited.engine), ChangeSignal())) for _ in range(3)]
    await asyncio.gather(
        *(
            runbook.open(event(1, BROKEN, model=f"models/model_{number}_{n}"))
            for number, runbook in enumerate(others)
            for n in range(5)
        )
    )
    report = await audited.report()
    assert report.breaks == ()
    assert report.record_count == 15


async def test_an_older_audit_becomes_the_chains_beginning(audited: Audited) -> None:
    await audited.live()
    downgrade(audited.engine, "0001")
    upgrade(audited.engine)
    report = await audited.report()
    assert report.breaks == ()
    assert report.record_count == 8
    await audited.runbook.see(event(4, BROKEN))
    assert (await audited.report()).breaks == ()
