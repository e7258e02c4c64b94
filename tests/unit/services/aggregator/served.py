"""The aggregator behind real gRPC, and messages to send to it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import numpy as np
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from numpy.typing import NDArray

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceStub
from aftershock.v1.example_pb2 import Population as PopulationMessage
from aftershock.v1.importance_pb2 import DataType, LfiBlock, LfiMethod, Tensor, ValueSketch
from aftershock.v1.shift_pb2 import ShiftEvent
from services.aggregator.__main__ import build_service
from services.aggregator.adapters.outgoing import checkpoint_message
from services.aggregator.adapters.redis_client import connect
from services.aggregator.domain.block import Block, Population
from services.aggregator.domain.checkpoint import Checkpoint
from services.aggregator.domain.sketch import Sketch
from services.aggregator.settings import AggregatorSettings
from services.chassis.channel import MESSAGE_OPTIONS
from services.chassis.server import bind, build_server
from tests.unit.services.aggregator.worlds import HOUR, MODEL, block, checkpoint, lfis

if TYPE_CHECKING:
    # The asynchronous face of the stub has a type of its own, and no class.
    from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceAsyncStub

Client: TypeAlias = "AggregatorServiceAsyncStub"
TIMEOUT = 20.0
_DRAIN_SECONDS = 5.0
NAME = f"models/{MODEL}"


@asynccontextmanager
async def serving(url: str, **settings: Any) -> AsyncIterator[str]:
    """A replica of the aggregator in this process: its address. Several can share a `url`."""
    chosen = AggregatorSettings(
        redis_url=url, **{"resamples": 100, "sweep_seconds": 0.2} | settings
    )
    async with connect(url) as client:
        service = build_service(chosen, client)
        server = build_server(service, chosen)
        address = bind(server, chosen)
        await server.start()
        tasks = [asyncio.ensure_future(run()) for run in service.background]
        try:
            yield address
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await server.stop(_DRAIN_SECONDS)


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Client]:
    """A client of the replica at that address."""
    async with grpc.aio.insecure_channel(address, options=MESSAGE_OPTIONS) as channel:
        yield AggregatorServiceStub(channel)


@asynccontextmanager
async def served(url: str, **settings: Any) -> AsyncIterator[Client]:
    """A client of a replica of its own."""
    async with serving(url, **settings) as address, calling(address) as stub:
        yield stub


def timestamp(time: datetime) -> Timestamp:
    """A time as a message."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def tensor(array: NDArray[np.generic]) -> Tensor:
    """An array as a message."""
    kind = DataType.Value(f"DATA_TYPE_{array.dtype.name.upper()}")
    return Tensor(data_type=kind, shape=array.shape, data=array.tobytes())


def sketch_message(sketch: Sketch) -> ValueSketch:
    """A sketch as attribution would send it."""
    return ValueSketch(
        baseline_counts=tensor(sketch.baseline_counts),
        bucket_offsets=tensor(sketch.buckets.offsets),
        buckets=tensor(sketch.buckets.keys),
        bucket_counts=tensor(sketch.buckets.counts),
        hitter_offsets=tensor(sketch.hitters.offsets),
        hitter_ids=tensor(sketch.hitters.keys),
        hitter_counts=tensor(sketch.hitters.counts),
        moments=tensor(sketch.moments),
    )


def block_message(made: Block) -> LfiBlock:
    """A block as a pipeline would send it."""
    is_considered = made.population is Population.CONSIDERED
    considered, displayed = (
        PopulationMessage.POPULATION_CONSIDERED,
        PopulationMessage.POPULATION_DISPLAYED,
    )
    return LfiBlock(
        block_id=made.block_id,
        model=f"models/{made.model}",
        checkpoint_digest=made.digest,
        method=LfiMethod.Value(f"LFI_METHOD_{made.method.value}"),
        population=considered if is_considered else displayed,
        event_time=timestamp(made.event_time),
        example_count=made.example_count,
        feature_offsets=tensor(made.offsets),
        example_indices=tensor(made.indices),
        values=tensor(made.values),
        predictions=tensor(made.predictions),
        arrow_stream=made.arrow_stream,
        value_sketch=sketch_message(made.sketch) if made.sketch else None,
    )


async def ingest(
    stub: Client,
    blocks: Iterable[LfiBlock],
    registered: Checkpoint | None = None,
) -> list[pb.IngestLfiResponse]:
    """Send a checkpoint and blocks on one stream and return the answers."""
    first = pb.IngestLfiRequest(checkpoint=checkpoint_message(registered or checkpoint()))
    requests = [first, *(pb.IngestLfiRequest(block=message) for message in blocks)]
    return [answer async for answer in stub.IngestLfi(iter(requests), timeout=TIMEOUT)]


async def report(
    stub: Client,
    start: datetime,
    observed: int = 1000,
    request_id: str = "",
    length: timedelta = HOUR,
) -> pb.ReportOutcomesResponse:
    """Report 1,000 expected events of the stretch from `start` on."""
    request = pb.ReportOutcomesRequest(
        model=NAME,
        request_id=request_id or start.isoformat(),
        start_time=timestamp(start),
        end_time=timestamp(start + length),
        expected=1000.0,
        observed=observed,
    )
    return await stub.ReportOutcomes(request, timeout=TIMEOUT)


def hour_of_blocks(
    start: datetime, seed: int, scales: Sequence[float] = (1.0, 0.5, 0.1)
) -> list[LfiBlock]:
    """Both populations of one window."""
    return [
        block_message(
            block(
                lfis(seed * 2 + number, scales=scales),
                f"{start.isoformat()}-{population.value}",
                event_time=start,
                population=population,
            )
        )
        for number, population in enumerate(Population)
    ]


async def store_hour(
    stub: Client,
    start: datetime,
    seed: int,
    observed: int = 1000,
    scales: Sequence[float] = (1.0, 0.5, 0.1),
) -> None:
    """Ingest one window and report its outcomes."""
    answers = await ingest(stub, hour_of_blocks(start, seed, scales))
    assert [answer.WhichOneof("result") for answer in answers] == ["receipt", "receipt"]
    await report(stub, start, observed)


async def watched(stub: Client, count: int, cursor: str = "") -> list[ShiftEvent]:
    """The next `count` events after the cursor."""
    request = pb.WatchShiftsRequest(model=NAME, cursors={NAME: cursor} if cursor else {})
    events = []
    call = stub.WatchShifts(request, timeout=TIMEOUT)
    async for response in call:
        events.append(response.event)
        if len(events) == count:
            call.cancel()
            break
    return events


@dataclass(frozen=True)
class Refusal:
    """What a caller sees of an error."""

    code: grpc.StatusCode
    reason: str
    fields: list[str]
    retry_seconds: float | None


def refusal(status: Status) -> Refusal:
    """The parts of a status that clients decide by."""
    info, request, retry = (_detail(status, kind) for kind in (ErrorInfo, BadRequest, RetryInfo))
    assert isinstance(info, ErrorInfo)
    violations = request.field_violations if isinstance(request, BadRequest) else []
    return Refusal(
        code=next(code for code in grpc.StatusCode if code.value[0] == status.code),
        reason=info.reason.removeprefix("ERROR_REASON_"),
        fields=[violation.field for violation in violations],
        retry_seconds=(
            retry.retry_delay.ToNanoseconds() / 1e9 if isinstance(retry, RetryInfo) else None
        ),
    )


async def refused(call: Any) -> Refusal:
    """The refusal of a call that must fail."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        return refusal(Status.FromString(trailers["grpc-status-details-bin"]))
    raise AssertionError(f"was not refused: {answer}")


def _detail(status: Status, kind: type[Message]) -> Message | None:
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            return message
    return None
