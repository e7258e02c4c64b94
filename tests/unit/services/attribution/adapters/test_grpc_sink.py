"""Delivery over a stream that breaks."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import numpy as np
import pytest

from aftershock.v1 import importance_pb2
from services.attribution.adapters.grpc_errors import BlockRefused
from services.attribution.adapters.grpc_sink import GrpcSink
from services.attribution.domain.errors import DeliveryUnavailable
from tests.unit.services.attribution.aggregators import RecordingAggregator, served, status
from tests.unit.services.attribution.blocks import block

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
CHECKPOINT = "models/formula/checkpoints/1"

Started = Callable[..., GrpcSink]


@pytest.fixture
async def started() -> AsyncIterator[Started]:
    """Return how to start a sink to an address."""
    running: list[asyncio.Task[None]] = []

    def start(address: str, **settings: float) -> GrpcSink:
        sink = GrpcSink(
            lambda: grpc.aio.insecure_channel(address),
            (("authorization", "Bearer x"),),
            **settings,  # type: ignore[arg-type]
        )
        running.append(asyncio.create_task(sink.run()))
        return sink

    yield start
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_block_travels_whole(started: Started) -> None:
    aggregator = RecordingAggregator()
    async with served(aggregator) as address:
        await started(address).deliver(block("a"))
    message = aggregator.blocks["a"]
    assert message.model == "models/formula"
    assert message.checkpoint_digest == "a" * 64
    assert message.method == importance_pb2.LFI_METHOD_RELATIVE
    assert message.example_count == 2
    assert message.arrow_stream == b"arrow"
    assert message.event_time.ToJsonString() == "2026-11-20T01:00:00Z"
    assert list(message.feature_offsets.shape) == [14]
    assert np.frombuffer(message.values.data, "<f4").tolist() == [0.25]
    assert np.frombuffer(message.example_indices.data, "<u4").tolist() == [1]
    assert np.frombuffer(message.predictions.data, "<f4").tolist() == [0.5, 0.75]
    assert ("authorization", "Bearer x") in aggregator.metadata


async def test_a_checkpoint_is_registered_once_before_its_blocks(started: Started) -> None:
    aggregator = RecordingAggregator()
    async with served(aggregator) as address:
        sink = started(address)
        for name, version in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "1")):
            await sink.deliver(block(name, version=version, digest=version))
    second = "models/formula/checkpoints/2"
    assert aggregator.received == [CHECKPOINT, "a", "b", second, "c", "d"]


async def test_what_was_not_acknowledged_is_sent_again(started: Started) -> None:
    aggregator = RecordingAggregator(
        breaks=deque([(2, status(UNAVAILABLE, "going")), (0, status(UNAVAILABLE, "gone"))])
    )
    async with served(aggregator) as address:
        sink = started(address)
        receipts = await asyncio.gather(*(sink.deliver(block(str(i))) for i in range(8)))
    assert not any(receipt.duplicate for receipt in receipts)
    assert sorted(aggregator.blocks) == [str(i) for i in range(8)]
    assert aggregator.streams == 3
    # Every stream registers the checkpoint anew.
    assert aggregator.received.count(CHECKPOINT) >= 2


async def test_a_server_that_comes_back_gets_what_waits(started: Started) -> None:
    async with served(RecordingAggregator()) as address:
        sink = started(address)
        await sink.deliver(block("a"))
    waiting = asyncio.gather(*(sink.deliver(block(name)) for name in "bcd"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    again = RecordingAggregator()
    async with served(again, address):
        await waiting
    assert again.received == [CHECKPOINT, "b", "c", "d"]


async def test_an_aggregator_that_says_when_is_asked_again_then(started: Started) -> None:
    busy = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_after=0.3)
    aggregator = RecordingAggregator(answers={"a": deque([busy, busy])})
    async with served(aggregator) as address:
        sink = started(address)
        start = asyncio.get_running_loop().time()
        await asyncio.gather(sink.deliver(block("a")), sink.deliver(block("b")))
        assert asyncio.get_running_loop().time() - start >= 0.6
    assert aggregator.received == [CHECKPOINT, "a", "b", "a", "a"]


async def test_a_stream_that_ends_with_a_time_is_opened_again_then(started: Started) -> None:
    aggregator = RecordingAggregator(breaks=deque([(0, status(UNAVAILABLE, "wait", 0.5))]))
    async with served(aggregator) as address:
        sink = started(address)
        start = asyncio.get_running_loop().time()
        await sink.deliver(block("a"))
        assert asyncio.get_running_loop().time() - start >= 0.5


async def test_a_refused_block_says_why_and_the_others_go_on(started: Started) -> None:
    closed = status(grpc.StatusCode.FAILED_PRECONDITION, "the window is closed")
    aggregator = RecordingAggregator(answers={"b": deque([closed])})
    async with served(aggregator) as address:
        sink = started(address)
        deliveries: list[Awaitable[object]] = [sink.deliver(block(name)) for name in "abc"]
        results = await asyncio.gather(*deliveries, return_exceptions=True)
    assert isinstance(results[1], BlockRefused)
    assert results[1].status == closed
    assert sorted(aggregator.blocks) == ["a", "c"]


async def test_a_stream_that_is_refused_refuses_its_blocks(started: Started) -> None:
    refusal = status(grpc.StatusCode.PERMISSION_DENIED, "not a pipeline")
    aggregator = RecordingAggregator(breaks=deque([(0, refusal)]))
    async with served(aggregator) as address:
        sink = started(address)
        with pytest.raises(BlockRefused, match="not a pipeline"):
            await sink.deliver(block("a"))
        await sink.deliver(block("b"))


async def test_patience_ends(started: Started) -> None:
    async with served(RecordingAggregator()) as address:
        pass
    sink = started(address, patience=0.4, most=2)
    deliveries = (sink.deliver(block(name)) for name in "abcd")
    for result in await asyncio.gather(*deliveries, return_exceptions=True):
        assert isinstance(result, DeliveryUnavailable)
        assert result.retry_after == 1.0
    again = RecordingAggregator()
    async with served(again, address):
        while "e" not in again.blocks:
            with contextlib.suppress(DeliveryUnavailable):
                await sink.deliver(block("e"))
    # Nobody waits any longer for those that were given up.
    assert set(again.blocks) == {"e"}
