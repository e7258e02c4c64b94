"""Batches in, importances out, over real gRPC."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import example_pb2, importance_pb2
from services.attribution.adapters.grpc_sink import GrpcSink
from services.attribution.domain.lfi import LfiMethod
from services.attribution.explain import Explain
from tests.checkpoints import (
    SCHEMA,
    TRAINED_UNTIL,
    arrow_stream,
    arrow_table,
)
from tests.unit.services.attribution.aggregators import RecordingAggregator, served, status
from tests.unit.services.attribution.predictors import plain, small_predictor
from tests.unit.services.attribution.serving import (
    EXAMPLES,
    LATER,
    NAME,
    ServedAttribution,
    Stub,
    answers,
    batch,
    dense,
    failure,
    field_of,
    options,
    reason,
)


@pytest.fixture
def aggregator() -> RecordingAggregator:
    return RecordingAggregator()


@pytest.fixture
async def stub(tmp_path: Path, aggregator: RecordingAggregator) -> AsyncIterator[Stub]:
    """A served service with one checkpoint loaded and an aggregator behind it."""
    async with served(aggregator) as address:
        sink = GrpcSink(lambda: grpc.aio.insecure_channel(address), patience=5.0)
        delivering = asyncio.create_task(sink.run())
        async with ServedAttribution(tmp_path, sink) as stub:
            yield stub
        delivering.cancel()


@pytest.mark.parametrize(
    ("wanted", "method"),
    [
        (importance_pb2.LFI_METHOD_UNSPECIFIED, LfiMethod.PSEUDO_LOSS),
        (importance_pb2.LFI_METHOD_PSEUDO_LOSS, LfiMethod.PSEUDO_LOSS),
        (importance_pb2.LFI_METHOD_RELATIVE, LfiMethod.RELATIVE),
    ],
)
async def test_a_batch_comes_back_as_importances(
    stub: Stub, wanted: importance_pb2.LfiMethod.ValueType, method: LfiMethod
) -> None:
    response = (await answers(stub, [options(method=wanted), batch("a")]))[0]
    block = response.block
    expected = Explain(plain(small_predictor("dots")), method)(EXAMPLES)
    assert response.batch_id == block.block_id == "a"
    assert block.method == importance_pb2.LfiMethod.Value(f"LFI_METHOD_{method.value}")
    assert np.array_equal(dense(block), expected.dense())
    predictions = np.frombuffer(block.predictions.data, "<f4")
    assert np.array_equal(predictions, expected.predictions)
    assert block.model == "models/ads_ctr"
    assert block.population == example_pb2.POPULATION_CONSIDERED
    assert block.event_time.ToDatetime(tzinfo=UTC) == LATER
    assert block.arrow_stream == b""
    checkpoint = (
        await stub.GetCheckpoint(pb.GetCheckpointRequest(name=NAME), timeout=5)
    ).checkpoint
    assert block.checkpoint_digest == checkpoint.digest


async def test_batches_are_answered_in_order(stub: Stub) -> None:
    sizes = [40, 1, 7, 1, 30, 2, 1, 50, 1, 1]
    batches = [batch(str(i), EXAMPLES.take(np.arange(n))) for i, n in enumerate(sizes)]
    responses = await answers(stub, [options(), *batches])
    assert [r.batch_id for r in responses] == [str(i) for i in range(10)]
    assert [r.block.example_count for r in responses] == sizes


async def test_delivery_to_the_aggregator(stub: Stub, aggregator: RecordingAggregator) -> None:
    requests = [options(pb.DELIVERY_AGGREGATOR), batch("a"), batch("b"), batch("a")]
    responses = await answers(stub, requests)
    assert [r.receipt.duplicate for r in responses] == [False, False, True]
    assert [r.receipt.example_count for r in responses] == [50] * 3
    assert aggregator.received == [NAME, "a", "b", "a"]
    assert aggregator.blocks["a"].arrow_stream == arrow_stream(EXAMPLES)


async def test_delivery_to_both(stub: Stub, aggregator: RecordingAggregator) -> None:
    response = (await answers(stub, [options(pb.DELIVERY_BOTH), batch("a")]))[0]
    kept = aggregator.blocks["a"]
    assert np.array_equal(dense(response.block), dense(kept))


async def test_what_the_aggregator_refuses_reaches_the_sender(
    stub: Stub, aggregator: RecordingAggregator
) -> None:
    closed = status(grpc.StatusCode.FAILED_PRECONDITION, "the window is closed")
    closed.details.add().Pack(ErrorInfo(reason="ERROR_REASON_WINDOW_CLOSED"))
    aggregator.answers["b"] = deque([closed])
    requests = [options(pb.DELIVERY_BOTH), batch("a"), batch("b"), batch("c")]
    first, second, third = await answers(stub, requests)
    assert first.HasField("block")
    assert second.error == closed
    assert third.HasField("block")


async def test_an_aggregator_that_breaks_off_gets_every_block(
    stub: Stub, aggregator: RecordingAggregator
) -> None:
    gone = status(grpc.StatusCode.UNAVAILABLE, "restarting")
    aggregator.breaks.extend([(2, gone), (1, gone)])
    batches = [batch(str(i), EXAMPLES.take(np.arange(3))) for i in range(8)]
    responses = await answers(stub, [options(pb.DELIVERY_AGGREGATOR), *batches])
    assert all(r.HasField("receipt") for r in responses)
    assert sorted(aggregator.blocks) == [str(i) for i in range(8)]


def renamed(**columns: Any) -> pa.Table:
    table = arrow_table(EXAMPLES)
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


BAD = {
    "UNKNOWN_FEATURE": (
        batch("x", arrow_table(EXAMPLES).append_column("agee", pa.nulls(50))),
        "batch.arrow_stream.agee",
    ),
    "MISSING_FEATURE": (
        batch("x", arrow_table(EXAMPLES).drop_columns(["hour"])),
        "batch.arrow_stream.hour",
    ),
    "WRONG_DATA_TYPE": (batch("x", renamed(hour=pa.array(["1"] * 50))), "batch.arrow_stream.hour"),
    "NOT_FINITE": (
        batch("x", renamed(hour=pa.array([float("nan")] * 50))),
        "batch.arrow_stream.hour[0]",
    ),
    "ID_OUT_OF_RANGE": (
        batch("x", renamed(gender=pa.array([3] * 50))),
        "batch.arrow_stream.gender[0]",
    ),
    "LIST_TOO_LONG": (
        batch("x", renamed(genres=pa.array([[1] * 7] * 50))),
        "batch.arrow_stream.genres[0]",
    ),
    "EMPTY_BATCH": (batch("x", arrow_table(EXAMPLES).slice(0, 0)), "batch.arrow_stream"),
    "MALFORMED_ARROW": (batch("x", b"nonsense"), "batch.arrow_stream"),
    "SEEN_IN_TRAINING": (
        batch("x", at=TRAINED_UNTIL - timedelta(seconds=1)),
        "batch.event_time",
    ),
    "INVALID_REQUEST": (batch(""), "batch.batch_id"),
}


async def test_a_bad_batch_is_answered_and_the_stream_goes_on(stub: Stub) -> None:
    requests = [options()]
    for bad, _ in BAD.values():
        requests += [bad, batch("good")]
    responses = await answers(stub, requests)
    assert len(responses) == 2 * len(BAD)
    for (wanted, (_, place)), bad, good in zip(
        BAD.items(), responses[::2], responses[1::2], strict=True
    ):
        assert reason(bad.error) == wanted
        assert field_of(bad.error) == place
        assert good.block.example_count == 50


async def test_a_batch_of_another_checkpoints_schema_is_refused(stub: Stub) -> None:
    table = arrow_table(EXAMPLES).rename_columns([f"{f.name}_v2" for f in SCHEMA.features])
    response = (await answers(stub, [options(), batch("a", table)]))[0]
    assert reason(response.error) == "UNKNOWN_FEATURE"


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([batch("a")], "batch"),
        ([options(), options()], "options"),
        ([pb.ComputeLfiRequest()], "content"),
        ([options(), pb.ComputeLfiRequest()], "options"),
        (
            [pb.ComputeLfiRequest(options=pb.ComputeLfiOptions(checkpoint="x"))],
            "options.checkpoint",
        ),
        ([options(delivery=9)], "options.delivery"),  # type: ignore[arg-type]
    ],
)
async def test_a_stream_that_breaks_the_protocol_ends(
    stub: Stub, requests: list[pb.ComputeLfiRequest], field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(stub, requests)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field_of(failure(caught.value)) == field


async def test_batches_before_a_broken_request_are_answered(stub: Stub) -> None:
    call = stub.ComputeLfi(iter([options(), batch("a"), batch("b"), options()]))
    assert [(await call.read()).batch_id for _ in "ab"] == ["a", "b"]
    with pytest.raises(grpc.aio.AioRpcError, match="another stream"):
        await call.read()


async def test_a_stream_without_requests_ends(stub: Stub) -> None:
    assert await answers(stub, []) == []


async def test_a_checkpoint_that_is_not_loaded_is_named(stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(stub, [options(checkpoint="models/other")])
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason(failure(caught.value)) == "CHECKPOINT_NOT_FOUND"


async def test_without_an_aggregator_there_is_no_delivery_to_one(tmp_path: Path) -> None:
    async with ServedAttribution(tmp_path, None) as stub:
        assert (await answers(stub, [options(), batch("a")]))[0].HasField("block")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answers(stub, [options(pb.DELIVERY_BOTH)])
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert field_of(failure(caught.value)) == "options.delivery"


async def test_a_sender_that_goes_away_harms_nobody(stub: Stub) -> None:
    call = stub.ComputeLfi()
    await call.write(options())
    for i in range(6):
        await call.write(batch(str(i)))
    call.cancel()
    assert (await answers(stub, [options(), batch("a")]))[0].HasField("block")
