"""Anchors of the audit, in memory and in a file."""

import threading
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from tenacity import wait_none

from services.runbook.adapters.anchor_file import AnchorFile
from services.runbook.adapters.anchor_webhook import AnchorWebhook
from services.runbook.adapters.memory_anchors import MemoryAnchors
from services.runbook.adapters.standard_webhook import StandardWebhook
from services.runbook.adapters.system_clock import SystemClock
from services.runbook.domain.audit import Anchor
from services.runbook.domain.errors import AnchorsUnavailable
from services.runbook.ports import Anchors
from tests.unit.services.runbook.builders import WALL_TIME
from tests.webhook_receiver import SECRET, receiving

ONE = Anchor(1, "a" * 64, WALL_TIME)
TWO = Anchor(2, "b" * 64, WALL_TIME + timedelta(microseconds=1))


@pytest.fixture(params=["memory", "file"])
def anchors(request: pytest.FixtureRequest, tmp_path: Path) -> Anchors:
    return MemoryAnchors() if request.param == "memory" else AnchorFile(tmp_path / "anchors")


async def test_none_at_first(anchors: Anchors) -> None:
    assert await anchors.read() == ()
    assert await anchors.last() is None


async def test_kept_in_order(anchors: Anchors) -> None:
    await anchors.append(ONE)
    await anchors.append(TWO)
    assert list(await anchors.read()) == [ONE, TWO]
    assert await anchors.last() == TWO


async def test_a_webhook_gets_each_anchor_and_none_is_kept_that_it_did_not_get() -> None:
    with receiving(threading.Event()) as receiver:
        async with httpx.AsyncClient(timeout=5) as http:
            endpoint = StandardWebhook(
                http, receiver.url, SECRET, SystemClock(), attempts=1, pauses=wait_none()
            )
            anchors = AnchorWebhook(endpoint, MemoryAnchors())
            receiver.fail_before = [500]
            with pytest.raises(AnchorsUnavailable, match="500"):
                await anchors.append(ONE)
            assert await anchors.last() is None
            await anchors.append(ONE)
    assert [message["data"]["hash"] for message in receiver.messages] == [ONE.hash]
    assert await anchors.last() == ONE


async def test_a_file_outlives_its_writer_and_is_shared(tmp_path: Path) -> None:
    await AnchorFile(tmp_path / "anchors").append(ONE)
    await AnchorFile(tmp_path / "anchors").append(TWO)
    assert list(await AnchorFile(tmp_path / "anchors").read()) == [ONE, TWO]


async def test_a_line_that_is_no_anchor_is_named(tmp_path: Path) -> None:
    file = tmp_path / "anchors"
    await AnchorFile(file).append(ONE)
    with file.open("a") as opened:
        opened.write('{"sequence": 2, "ha')
    with pytest.raises(AnchorsUnavailable, match=r"line 2 of .*anchors is no anchor"):
        await AnchorFile(file).read()


async def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    nowhere = AnchorFile(tmp_path / "missing" / "anchors")
    with pytest.raises(AnchorsUnavailable, match="cannot be written"):
        await nowhere.append(ONE)
    with pytest.raises(AnchorsUnavailable, match="cannot be read"):
        await AnchorFile(tmp_path).read()
