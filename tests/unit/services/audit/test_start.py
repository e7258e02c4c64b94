"""Audits are taken on once, whoever asks at the same time and whoever leaves meanwhile."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from services.audit.adapters.memory_audits import MemoryAudits
from services.audit.adapters.no_checkpoints import NoCheckpoints
from services.audit.adapters.parquet_snapshots import ParquetSnapshots
from services.audit.domain.audit import Audit
from services.audit.domain.errors import InvalidParameters
from services.audit.domain.parameters import AuditParameters, LabelRowsFile
from services.audit.start import Start
from services.audit.try_checkpoints import TryCheckpoints
from tests.snapshots import write_rows


class SlowAudits(MemoryAudits):
    """Says that it has kept something only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.adding, self.may = asyncio.Event(), asyncio.Event()

    async def add(self, audit: Audit) -> Audit:
        kept = await super().add(audit)
        self.adding.set()
        await self.may.wait()
        return kept


class Submitted(list[str]):
    """A Queue that carries nothing out."""

    def check_room(self) -> None:
        pass

    def submit(self, name: str) -> None:
        self.append(name)

    def cancel(self, name: str) -> None:
        raise AssertionError(name)


class Asked:
    """A Start with a snapshot to audit."""

    def __init__(self, folder: Path) -> None:
        self.file = LabelRowsFile(str(write_rows(folder / "rows.parquet", [["a", "b"]])))
        self.audits, self.queue = SlowAudits(), Submitted()
        source = ParquetSnapshots([folder])
        tried = TryCheckpoints(source, NoCheckpoints())
        self._start = Start(self.audits, source, tried, self.queue)

    def __call__(self, seed: int) -> Coroutine[Any, Any, Audit]:
        return self._start("one", self.file, AuditParameters(), seed)


async def test_what_is_kept_is_carried_out_though_its_caller_has_gone(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    calling = asyncio.create_task(asked(seed=0))
    await asked.audits.adding.wait()
    calling.cancel()
    asked.audits.may.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    found = await asked(seed=0)
    assert asked.queue == [found.name]


async def test_of_two_that_ask_at_once_with_one_id_the_other_is_refused(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    asked.audits.may.set()
    answers = await asyncio.gather(asked(seed=0), asked(seed=1), return_exceptions=True)
    (refused,) = [answer for answer in answers if isinstance(answer, BaseException)]
    assert isinstance(refused, InvalidParameters)
    assert refused.field == "request_id"
    assert len(set(asked.queue)) == 1
