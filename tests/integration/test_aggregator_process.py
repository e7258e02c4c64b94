"""The aggregator as a process of its own: killed, started again, stopped."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
import redis

from aftershock.v1 import aggregator_service_pb2 as pb
from services.aggregator.domain.window import window_id
from tests.aggregator_process import started
from tests.unit.services.aggregator.served import (
    NAME,
    TIMEOUT,
    calling,
    hour_of_blocks,
    ingest,
    report,
    watched,
)
from tests.unit.services.aggregator.worlds import HOUR, NOON, hours
from tests.valkey import ValkeyServer


def wait_for(client: redis.Redis, key: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not client.exists(key):
        assert time.monotonic() < deadline
        time.sleep(0.01)


BROKEN = (1.0, 0.5, 5.0)


async def test_a_kill_at_any_time_loses_and_repeats_nothing(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    """Each hour is sent to a process that dies while or right after it is told of it."""
    starts = [*hours(2), NOON]
    for number, start in enumerate(starts):
        is_last = start == NOON
        with started(valkey.url, tmp_path) as running:
            async with calling(running.address) as stub:
                blocks = hour_of_blocks(start, number, BROKEN if is_last else (1.0, 0.5, 0.1))
                await ingest(stub, blocks)
                await report(stub, start, observed=600 if is_last else 1000)
                await asyncio.sleep(0.01 * number)
                running.process.send_signal(signal.SIGKILL)
                running.process.wait()
    with started(valkey.url, tmp_path) as running:
        async with calling(running.address) as stub:
            events = await watched(stub, len(starts))
            again = await ingest(stub, hour_of_blocks(NOON, 2, BROKEN))
            listed = await stub.ListWindows(pb.ListWindowsRequest(parent=NAME), timeout=TIMEOUT)
    assert [event.window.start_time.ToDatetime().hour for event in events] == [10, 11, 12]
    assert [event.HasField("comparison") for event in events] == [False, False, True]
    assert events[-1].comparison.shifts[0].feature == "f2"
    assert all(answer.receipt.duplicate for answer in again)
    assert {(w.considered_count, w.displayed_count) for w in listed.windows} == {(1000, 1000)}
    with valkey.connect() as client:
        assert client.xlen("as:{ads_ctr}:shifts") == len(starts)


async def test_another_replica_takes_over_from_one_that_was_killed_at_work(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    """The first would resample for minutes; it dies while it holds the lease on its model."""
    with started(valkey.url, tmp_path, {"RESAMPLES": "20000000"}) as running:
        async with calling(running.address) as stub:
            await ingest(stub, hour_of_blocks(NOON, 1))
            await report(stub, NOON)
        with valkey.connect() as client:
            await asyncio.to_thread(wait_for, client, "as:{ads_ctr}:lease")
            (tmp_path / "second").mkdir()
            with started(valkey.url, tmp_path / "second") as other:
                running.process.kill()
                running.process.wait()
                assert client.pttl("as:{ads_ctr}:lease") <= 2000
                async with calling(other.address) as stub:
                    (event,) = await watched(stub, 1)
                    listed = await stub.ListWindows(
                        pb.ListWindowsRequest(parent=NAME), timeout=TIMEOUT
                    )
            assert event.window.name == listed.windows[0].name
            assert client.xlen("as:{ads_ctr}:shifts") == 1


async def test_a_replica_that_wakes_up_late_closes_nothing_again(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    """It is stopped at work, loses its lease to another, and goes on where it was."""
    summary = f"as:{{ads_ctr}}:window:{window_id(NOON - HOUR)}:summary"
    (tmp_path / "second").mkdir()
    with (
        valkey.connect() as client,
        started(valkey.url, tmp_path, {"RESAMPLES": "3000000"}) as late,
    ):
        async with calling(late.address) as stub:
            await ingest(stub, hour_of_blocks(NOON - HOUR, 1))
            await report(stub, NOON - HOUR)
            await asyncio.to_thread(wait_for, client, "as:{ads_ctr}:lease")
            late.process.send_signal(signal.SIGSTOP)
            assert not client.exists(summary)
            with started(valkey.url, tmp_path / "second") as other:
                async with calling(other.address) as quick:
                    await watched(quick, 1)
            kept = client.get(summary)
            late.process.send_signal(signal.SIGCONT)
            await ingest(stub, hour_of_blocks(NOON, 2))
            await report(stub, NOON)
            # A model's sweeps follow each other: what it was at before is over.
            events = await watched(stub, 2)
        assert [event.window.start_time.ToDatetime().hour for event in events] == [11, 12]
        assert client.xlen("as:{ads_ctr}:shifts") == 2
        assert kept is not None
        assert client.get(summary) == kept


async def test_sigterm_ends_it_cleanly_while_somebody_watches(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    with started(valkey.url, tmp_path) as running:
        async with calling(running.address) as stub:
            call = stub.WatchShifts(pb.WatchShiftsRequest(), timeout=TIMEOUT)
            reading = asyncio.ensure_future(call.read())
            await ingest(stub, hour_of_blocks(NOON, 1))
            running.process.terminate()
            assert await asyncio.to_thread(running.process.wait, 5) == 0
            with pytest.raises(grpc.aio.AioRpcError, match="shuts down"):
                await reading


def test_it_carries_neither_torch_nor_arrow() -> None:
    code = (
        "import services.aggregator.__main__, sys;"
        "print({'torch', 'pyarrow', 'sqlalchemy'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"
