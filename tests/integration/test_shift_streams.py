"""Consumer groups on a model's stream, by the consumer that the reference shows."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from aftershock.v1.shift_pb2 import ShiftEvent
from services.aggregator.adapters import redis_shifts
from services.aggregator.adapters.redis_client import connect
from services.aggregator.domain import shift
from tests.unit.services.aggregator.redis_store import RedisStore
from tests.unit.services.aggregator.served import Client, served, store_hour, watched
from tests.unit.services.aggregator.worlds import HOUR, MODEL, NOON, hour_of, hours, report
from tests.unit.services.aggregator.worlds import checkpoint as registered
from tests.valkey import ValkeyServer

PAGE = (Path(__file__).parents[2] / "docs/reference/shift-streams.md").read_text()
STREAM = f"as:{{{MODEL}}}:shifts"
TIMEOUT = 20.0


@pytest.fixture
async def stub(valkey: ValkeyServer) -> AsyncIterator[Client]:
    async with served(valkey.url) as stub:
        yield stub


@pytest.fixture
def behind(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    with valkey.connect() as client:
        yield client


class Member:
    """A process that runs the reference's consumer, and what it has printed."""

    def __init__(self, url: str, name: str, home: Path, handling: str = "") -> None:
        (consumer,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        hurried = consumer.replace("60_000", "200").replace("block=1000", "block=50")
        assert hurried.count("200") == 1
        script = f"{hurried}\n{handling}\nfollow({MODEL!r}, {name!r})\n"
        self._log = home / f"{name}.log"
        with self._log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", script],
                stdout=output,
                env={**os.environ, "REDIS_URL": url, "PYTHONUNBUFFERED": "1"},
            )

    async def lines(self, count: int) -> list[str]:
        """The first lines, waited for."""
        deadline = time.monotonic() + TIMEOUT
        while len(found := self._log.read_text().splitlines()) < count:
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        return found


@contextmanager
def member(*arguments: Any) -> Iterator[Member]:
    started = Member(*arguments)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def pending(client: redis.Redis, group: str = "pager") -> int:
    summary: Any = client.xpending(STREAM, group)
    return int(summary["pending"])


async def acknowledged(client: redis.Redis) -> bool:
    deadline = time.monotonic() + TIMEOUT
    while pending(client):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def hour_names(lines: list[str]) -> list[str]:
    return [line.split()[0].rpartition("/")[2][9:11] for line in lines]


async def test_a_member_that_was_killed_leaves_its_entry_to_the_next(
    stub: Client, valkey: ValkeyServer, behind: redis.Redis, tmp_path: Path
) -> None:
    """It dies by kill -9 with an event in hand; meanwhile windows go on closing."""
    await store_hour(stub, NOON - 2 * HOUR, 1)
    await watched(stub, 1)
    dying = "import time\ndef handle(event):\n    print(event.window.name)\n    time.sleep(1000)"
    with member(valkey.url, "first", tmp_path, dying) as first:
        assert hour_names(await first.lines(1)) == ["10"]
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    assert pending(behind) == 1
    await store_hour(stub, NOON - HOUR, 2)
    await store_hour(stub, NOON, 3, scales=(1.0, 0.5, 5.0), observed=600)
    await watched(stub, 3)
    with member(valkey.url, "second", tmp_path) as second:
        # The one that was left may come before or after those that are new.
        lines = await second.lines(3)
        assert sorted(hour_names(lines)) == ["10", "11", "12"]
        (alert,) = [line for line in lines if line.split()[0].endswith("T120000Z")]
        assert alert.split()[1:] == ["ALERT_REASON_CALIBRATION", "f2"]
        assert await acknowledged(behind)


async def test_who_was_down_catches_up_and_groups_do_not_take_from_each_other(
    stub: Client, valkey: ValkeyServer, behind: redis.Redis, tmp_path: Path
) -> None:
    behind.xgroup_create(STREAM, "archive", id="0", mkstream=True)
    await store_hour(stub, NOON - 2 * HOUR, 1)
    with member(valkey.url, "first", tmp_path) as first:
        assert hour_names(await first.lines(1)) == ["10"]
        assert await acknowledged(behind)
    await store_hour(stub, NOON - HOUR, 2)
    await store_hour(stub, NOON, 3)
    await watched(stub, 3)
    with member(valkey.url, "again", tmp_path) as again:
        assert hour_names(await again.lines(2)) == ["11", "12"]
    read: Any = behind.xreadgroup("archive", "a", {STREAM: ">"})
    ((_, entries),) = read
    events = [ShiftEvent.FromString(fields[b"event"]) for _, fields in entries]
    assert [event.window.start_time.ToDatetime().hour for event in events] == [10, 11, 12]


async def test_a_group_goes_with_its_stream_and_is_made_again(
    stub: Client, valkey: ValkeyServer, behind: redis.Redis, tmp_path: Path
) -> None:
    with member(valkey.url, "first", tmp_path) as first:
        await store_hour(stub, NOON - HOUR, 1)
        await first.lines(1)
        behind.delete(STREAM)
        await store_hour(stub, NOON, 2)
        assert hour_names(await first.lines(2)) == ["11", "12"]


async def test_the_user_that_the_reference_shows_can_follow_and_nothing_else(
    stub: Client, valkey: ValkeyServer, behind: redis.Redis, tmp_path: Path
) -> None:
    await store_hour(stub, NOON, 1)
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE)
    behind.execute_command(*line.split())  # type: ignore[no-untyped-call]
    try:
        url = valkey.url.replace("unix://", "unix://pager:SECRET@")
        with member(url, "first", tmp_path) as first:
            assert hour_names(await first.lines(1)) == ["12"]
            assert await acknowledged(behind)
        with redis.Redis.from_url(url) as pager:
            for forbidden in (
                lambda: pager.get(f"as:{{{MODEL}}}:lease"),
                lambda: pager.delete(STREAM),
                lambda: pager.xadd(STREAM, {"event": b""}),
                lambda: pager.hgetall(f"as:{{{MODEL}}}:meta"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    forbidden()  # type: ignore[no-untyped-call]
    finally:
        behind.execute_command("ACL", "DELUSER", "pager")  # type: ignore[no-untyped-call]


async def test_the_oldest_entries_go_and_a_group_is_told_which(
    valkey: ValkeyServer, behind: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a hundredth of the number that is kept, which is the nodes' size."""
    monkeypatch.setattr(redis_shifts, "_MOST_EVENTS", 100)
    async with connect(valkey.url) as client:
        store = RedisStore(client)
        await store.checkpoints.register(registered())
        behind.xgroup_create(STREAM, "pager", id="0", mkstream=True)
        for number, start in enumerate(hours(320)):
            await store.intake.report(report(start, request_id=start.isoformat()), hour_of(start))
            window = await store.windows.window(MODEL, start)
            event = shift.ShiftEvent(window, None, datetime.now(UTC))
            assert await store.shifts.publish(event)
            if number == 0:
                behind.xreadgroup("pager", "slow", {STREAM: ">"})
        kept: Any = behind.xlen(STREAM)
        assert 100 <= kept <= 200
        answer: Any = behind.xautoclaim(STREAM, "pager", "next", 0)
        _, claimed, gone = answer
        assert (len(claimed), len(gone)) == (0, 1)
        assert pending(behind) == 0
        retention = timedelta(days=8).total_seconds()
        life: Any = behind.ttl(STREAM)
        assert retention - 60 <= life <= retention
