"""The latest window through real gRPC: the same on every replica, whatever happens to one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import numpy as np
import pytest

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.importance_pb2 import LfiBlock
from aftershock.v1.shift_pb2 import ControlSelection
from aftershock.v1.window_pb2 import WindowState
from services.aggregator.domain.block import Population
from tests.aggregator_process import started
from tests.unit.services.aggregator.served import (
    NAME,
    TIMEOUT,
    Client,
    block_message,
    calling,
    ingest,
    refused,
    served,
    store_hour,
    watched,
)
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    block,
    checkpoint,
    hours,
    lfis,
)
from tests.valkey import ValkeyServer

LATEST = f"{NAME}/windows/latest"
BROKEN = (1.0, 0.5, 5.0)
SIZE = {"latest_examples": 2000, "latest_step_examples": 1}


@pytest.fixture
async def stub(valkey: ValkeyServer) -> AsyncIterator[Client]:
    async with served(valkey.url, **SIZE) as stub:
        yield stub


def both(
    number: int, start: datetime = NOON, scales: Sequence[float] = (1.0, 0.5, 0.1)
) -> list[LfiBlock]:
    """A block of 500 examples of each population, so many minutes after `start`."""
    return [
        block_message(
            block(
                lfis(2 * number + displayed, 500, scales),
                f"{number}-{displayed}",
                event_time=start + timedelta(minutes=number),
                population=list(Population)[displayed],
            )
        )
        for displayed in range(2)
    ]


async def gfi(stub: Client) -> pb.GetGfiResponse:
    return await stub.GetGfi(pb.GetGfiRequest(window=LATEST), timeout=TIMEOUT)


async def test_it_slides_over_the_latest_examples(stub: Client) -> None:
    assert (await refused(gfi(stub))).reason == "WINDOW_NOT_FOUND"
    for number in range(4):
        await ingest(stub, both(number))
        answer = await gfi(stub)
        first = max(number - 1, 0)
        dense = np.concatenate([lfis(n, 500) for n in range(2 * first, 2 * number + 2)])
        assert answer.window.name == LATEST
        assert answer.window.state == WindowState.WINDOW_STATE_OPEN
        assert answer.window.considered_count == 500 * (number - first + 1)
        assert answer.window.displayed_count == answer.window.considered_count
        assert answer.window.start_time.ToDatetime().minute == first
        assert not answer.window.HasField("restart_time")
        for importance, column in zip(answer.importances, dense.T, strict=True):
            present = np.abs(column[column != 0].astype(np.float64))
            share = len(present) / len(column)
            assert importance.coverage == pytest.approx(share)
            assert importance.gfi == pytest.approx(share * np.median(present), rel=1e-3)
            assert 0 < importance.standard_error < importance.gfi / 5


async def test_it_is_larger_than_an_hour_and_outlives_it(stub: Client) -> None:
    for number, start in enumerate((NOON, NOON + HOUR)):
        await ingest(stub, both(number, start))
    answer = await gfi(stub)
    assert (answer.window.considered_count, answer.window.displayed_count) == (1000, 1000)
    request = pb.ListWindowsRequest(parent=NAME)
    listed = await stub.ListWindows(request, timeout=TIMEOUT)
    assert [window.name[-16:] for window in listed.windows] == [
        "20261120T130000Z",
        "20261120T120000Z",
    ]


async def test_replicas_answer_alike_and_duplicates_change_nothing(valkey: ValkeyServer) -> None:
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(served(valkey.url, **SIZE)) for _ in range(2)]
        for number in range(5):
            await ingest(replicas[number % 2], both(number))
            if number % 2:
                await gfi(replicas[0])
        first, second = [await gfi(replica) for replica in replicas]
        assert first == second
        again = await ingest(replicas[0], both(4))
        assert all(answer.receipt.duplicate for answer in again)
        assert await gfi(replicas[0]) == first


async def test_a_replica_that_was_killed_answers_as_before(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    settings = {name.upper(): str(value) for name, value in SIZE.items()}
    with started(valkey.url, tmp_path, settings) as running:
        async with calling(running.address) as stub:
            for number in range(3):
                await ingest(stub, both(number))
            before = await gfi(stub)
            running.process.kill()
            running.process.wait()
    with started(valkey.url, tmp_path, settings) as running:
        async with calling(running.address) as stub:
            assert await gfi(stub) == before


async def test_blocks_out_of_order_take_their_place(stub: Client, valkey: ValkeyServer) -> None:
    for number in (0, 1, 2, 3):
        await ingest(stub, both(number))
    expected = await gfi(stub)
    with valkey.connect() as client:
        client.flushall()
    for number in (3, 1, 0, 2):
        await ingest(stub, both(number))
    assert await gfi(stub) == expected


async def test_another_checkpoint_begins_it_anew_for_all_to_see(stub: Client) -> None:
    await ingest(stub, both(0))
    await ingest(stub, both(1))
    other = checkpoint(digest="cd" * 32)
    made = replace(block(lfis(9, 300), "b9"), event_time=NOON + HOUR, digest=other.digest)
    await ingest(stub, [block_message(made)], other)
    answer = await gfi(stub)
    assert answer.window.checkpoint_digest == other.digest
    assert (answer.window.considered_count, answer.window.displayed_count) == (300, 0)
    assert answer.window.restart_time.ToDatetime().minute == 1


async def test_it_is_compared_with_an_hour_before_it(stub: Client) -> None:
    for number, start in enumerate(hours(2)):
        await store_hour(stub, start, number)
    await watched(stub, 2)
    for number in range(2):
        await ingest(stub, both(number, NOON, BROKEN))
    request = pb.CompareWindowsRequest(
        anomaly=LATEST, control_selection=ControlSelection.CONTROL_SELECTION_PREVIOUS_HOUR
    )
    chosen = (await stub.CompareWindows(request, timeout=TIMEOUT)).comparison
    assert chosen.anomaly == (await gfi(stub)).window
    assert chosen.control.name == f"{NAME}/windows/20261120T110000Z"
    assert chosen.shifts[0].feature == "f2"
    request.control_window = f"{NAME}/windows/20261120T100000Z"
    explicit = (await stub.CompareWindows(request, timeout=TIMEOUT)).comparison
    assert explicit.control.name == request.control_window
    request.control_window = LATEST
    assert (await refused(stub.CompareWindows(request, timeout=TIMEOUT))).reason == "NO_CONTROL"


async def test_it_says_how_many_examples_are_enough(stub: Client) -> None:
    await ingest(stub, both(0))
    request = pb.ChooseSampleSizeRequest(window=LATEST, tolerance=0.02)
    answer = await stub.ChooseSampleSize(request, timeout=TIMEOUT)
    assert answer.basis == pb.SAMPLE_SIZE_BASIS_SUMMARY
    assert answer.sample_size > 0


async def test_a_damaged_pane_is_left_out_and_damaged_ones_alone_are_said_to_be(
    stub: Client, valkey: ValkeyServer
) -> None:
    await ingest(stub, both(0))
    key = f"as:{{{MODEL}}}:panes"
    with valkey.connect() as client:
        client.hset(key, "20261120T120000Z:0-0", b"damaged")
        answer = await gfi(stub)
        assert (answer.window.considered_count, answer.window.displayed_count) == (0, 500)
        await ingest(stub, both(1))
        for name in ("0-0", "0-1", "1-0", "1-1"):
            client.hset(key, f"20261120T120000Z:{name}", b"damaged")
    async with served(f"{valkey.url}", **SIZE) as restarted:
        assert (await refused(gfi(restarted))).code == grpc.StatusCode.DATA_LOSS


async def test_switched_off_there_is_none(valkey: ValkeyServer) -> None:
    async with served(valkey.url, latest_examples=0) as stub:
        await ingest(stub, both(0))
        assert (await refused(gfi(stub))).reason == "WINDOW_NOT_FOUND"
