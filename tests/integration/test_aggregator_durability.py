"""What is acknowledged is where the settings say; a server that takes no writes says so."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import redis

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.shift_pb2 import ControlSelection
from aftershock.v1.window_pb2 import WindowState
from services.aggregator.domain.window import window_id
from tests.unit.services.aggregator.served import (
    NAME,
    TIMEOUT,
    Client,
    Refusal,
    block_message,
    hour_of_blocks,
    ingest,
    refusal,
    refused,
    report,
    served,
    store_hour,
    watched,
)
from tests.unit.services.aggregator.worlds import NOON, block, hours, lfis
from tests.valkey import ValkeyServer, start_valkey

AOF = ("--appendonly", "yes")


@dataclass(frozen=True)
class Pair:
    primary: ValkeyServer
    replica: ValkeyServer


@contextmanager
def paired(*options: str) -> Iterator[Pair]:
    """A server and its replica, in step."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    follow = ("--replicaof", f"127.0.0.1 {port}")
    with (
        start_valkey("--port", str(port), "--repl-diskless-sync-delay", "0", *options) as primary,
        start_valkey(*follow, *options) as replica,
        replica.connect() as behind,
    ):
        deadline = time.monotonic() + 20
        link: Any = {}
        while link.get("master_link_status") != "up":
            assert time.monotonic() < deadline
            time.sleep(0.05)
            link = behind.info("replication")
        yield Pair(primary, replica)


async def test_a_read_only_replica_answers_what_only_reads() -> None:
    """Of closed and of open windows alike; what would write is refused."""
    with paired() as pair:
        async with served(pair.primary.url) as stub:
            for number, start in enumerate(hours(2)):
                await store_hour(stub, start, number)
            await watched(stub, 2)
            await ingest(stub, hour_of_blocks(NOON, 9))
            expected = await importances(stub)
            with pair.primary.connect() as primary, pair.replica.connect() as behind:
                await asyncio.to_thread(in_step, primary, behind)
            async with served(pair.replica.url) as reader:
                assert await importances(reader) == expected
                request = pb.CompareWindowsRequest(
                    anomaly=f"{NAME}/windows/{window_id(NOON)}",
                    control_selection=ControlSelection.CONTROL_SELECTION_PREVIOUS_HOUR,
                )
                answer = await reader.CompareWindows(request, timeout=TIMEOUT)
                assert len(answer.comparison.shifts) == 3
                assert len(await watched(reader, 2)) == 2
                failure = await refused(report(reader, NOON))
                assert failure.code == grpc.StatusCode.UNAVAILABLE
            assert not (await report(stub, NOON)).duplicate


async def importances(stub: Client) -> list[float]:
    """Of an open window, as a replica of the service answers them."""
    window = f"{NAME}/windows/{window_id(NOON)}"
    answer = await stub.GetGfi(pb.GetGfiRequest(window=window), timeout=TIMEOUT)
    assert answer.window.state == WindowState.WINDOW_STATE_OPEN
    return [importance.gfi for importance in answer.importances]


def in_step(primary: redis.Redis, replica: redis.Redis) -> None:
    deadline = time.monotonic() + 20
    while True:
        ahead: Any = primary.info("replication")
        behind: Any = replica.info("replication")
        if ahead["master_repl_offset"] <= behind["slave_repl_offset"]:
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_what_too_few_replicas_have_is_not_acknowledged_and_counts_once() -> None:
    with paired() as pair:
        settings = {"acknowledge_replicas": 1, "acknowledge_seconds": 0.5}
        async with served(pair.primary.url, **settings) as stub:
            (answer,) = await ingest(stub, [block_message(block(lfis(1)))])
            assert answer.HasField("receipt")
            with pair.replica.connect() as behind:
                assert behind.exists("as:{ads_ctr}:panes")
            os.kill(pair.replica.pid, signal.SIGSTOP)
            try:
                (answer,) = await ingest(stub, [block_message(block(lfis(2), "b2"))])
                seen = refusal(answer.error)
                assert (seen.code, seen.retry_seconds) == (grpc.StatusCode.UNAVAILABLE, 1.0)
                assert (await refused(report(stub, NOON))).code == grpc.StatusCode.UNAVAILABLE
            finally:
                os.kill(pair.replica.pid, signal.SIGCONT)
            (answer,) = await ingest(stub, [block_message(block(lfis(2), "b2"))])
            assert answer.receipt.duplicate
            reported = await report(stub, NOON)
            assert reported.duplicate
            assert reported.window.considered_count == 2000


@pytest.mark.parametrize("replicas", [0, 1])
async def test_what_is_acknowledged_is_on_disk(replicas: int) -> None:
    with paired(*AOF, "--appendfsync", "everysec") as pair:
        settings = {"acknowledge_replicas": replicas, "acknowledge_on_disk": True}
        async with served(pair.primary.url, **settings) as stub:
            (answer,) = await ingest(stub, [block_message(block(lfis(1)))])
            assert answer.HasField("receipt")


async def test_without_an_append_only_file_nothing_is_on_disk(valkey: ValkeyServer) -> None:
    async with served(valkey.url, acknowledge_on_disk=True) as stub:
        (answer,) = await ingest(stub, [block_message(block(lfis(1)))])
        seen = refusal(answer.error)
        assert seen.code == grpc.StatusCode.UNAVAILABLE
        assert "append-only file" in answer.error.message


async def test_a_read_only_replica_is_unavailable_and_answers_questions() -> None:
    with paired() as pair, pair.primary.connect() as behind:
        async with served(pair.primary.url) as stub:
            await ingest(stub, [block_message(block(lfis(1)))])
        behind.wait(1, 5000)
        async with served(pair.replica.url) as stub:
            requests = [pb.IngestLfiRequest(block=block_message(block(lfis(2), "b2")))]
            (answer,) = [a async for a in stub.IngestLfi(iter(requests), timeout=20)]
            seen = refusal(answer.error)
            assert (seen.code, seen.reason, seen.retry_seconds) == (
                grpc.StatusCode.UNAVAILABLE,
                "DEPENDENCY_UNAVAILABLE",
                1.0,
            )
            (model,) = (await stub.ListModels(pb.ListModelsRequest(), timeout=20)).models
            assert model.latest_window.considered_count == 1000


async def test_a_server_that_hangs_pushes_back_and_loses_nothing(valkey: ValkeyServer) -> None:
    """There is room for two blocks to wait: the others are refused at once, and those in time."""
    first = block_message(block(lfis(1)))
    blocks = [block_message(block(lfis(n), f"b{n}")) for n in range(2, 8)]
    size = pb.IngestLfiRequest(block=blocks[0]).ByteSize()
    async with served(valkey.url, ingest_waiting_bytes=int(2.5 * size)) as stub:
        await ingest(stub, [first])
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            calls = [stub.IngestLfi(timeout=TIMEOUT) for _ in blocks]
            for call, message in zip(calls, blocks, strict=True):
                await call.write(pb.IngestLfiRequest(block=message))
            reading = [asyncio.ensure_future(call.read()) for call in calls]
            early = []
            for answer in asyncio.as_completed(reading):
                early.append(await answer)
                if len(early) == len(blocks) - 2:
                    break
            assert [answer.done() for answer in reading].count(False) == 2
            answers: list[Any] = await asyncio.gather(*reading)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        pushed_back = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", [], 1.0)
        assert [refusal(answer.error) for answer in answers] == [pushed_back] * len(blocks)
        again = await ingest(stub, [first, *blocks])
        assert all(answer.HasField("receipt") for answer in again)
        listed = await stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)
        assert listed.models[0].latest_window.considered_count == 7 * 1000


async def test_a_question_to_a_server_that_hangs_is_refused_in_time(valkey: ValkeyServer) -> None:
    async with served(valkey.url) as stub:
        await ingest(stub, [block_message(block(lfis(1)))])
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            seen = await refused(report(stub, NOON))
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        assert (seen.code, seen.retry_seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0)
