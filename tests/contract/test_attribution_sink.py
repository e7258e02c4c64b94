"""What every LfiSink does."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from services.attribution.adapters.grpc_sink import GrpcSink
from services.attribution.adapters.memory_sink import MemorySink
from services.attribution.ports import LfiSink
from tests.unit.services.attribution.aggregators import RecordingAggregator, served
from tests.unit.services.attribution.blocks import block


@pytest.fixture(params=["memory", "grpc"])
async def sink(request: pytest.FixtureRequest) -> AsyncIterator[LfiSink]:
    if request.param == "memory":
        yield MemorySink()
        return
    async with served(RecordingAggregator()) as address:
        result = GrpcSink(lambda: grpc.aio.insecure_channel(address))
        running = asyncio.create_task(result.run())
        yield result
        running.cancel()


async def test_a_block_is_kept(sink: LfiSink) -> None:
    assert not (await sink.deliver(block("a"))).duplicate


async def test_a_block_that_comes_again_counts_once(sink: LfiSink) -> None:
    await sink.deliver(block("a"))
    assert (await sink.deliver(block("a"))).duplicate
    assert not (await sink.deliver(block("b"))).duplicate


async def test_blocks_are_delivered_together(sink: LfiSink) -> None:
    receipts = await asyncio.gather(*(sink.deliver(block(str(i))) for i in range(200)))
    assert not any(receipt.duplicate for receipt in receipts)
