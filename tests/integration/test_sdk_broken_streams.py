"""A server that ends a stream while the SDK still writes: its real status comes through."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pytest

from aftershock import Client, InvalidRequest, NotFound, Unavailable, aio
from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import attribution_service_pb2_grpc as rpc
from aftershock.v1.error_reason_pb2 import ErrorReason
from services.chassis.errors import ErrorStatus
from services.chassis.errors import InvalidRequest as Refused
from services.chassis.server import Service, bind, build_server
from services.chassis.settings import ServiceSettings
from services.chassis.tokens import Role

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ROUNDS = 40
WIDE = {"embedding": np.zeros((20_000, 64), dtype=np.float32)}
"""Forty batches: many are on their way when the stream ends."""
METHOD = "/aftershock.v1.AttributionService/ComputeLfi"


class Gone(Exception):
    field = None


class Restarting(Exception):
    field = None


ERRORS = {
    Gone: ErrorStatus(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_CHECKPOINT_NOT_FOUND),
    Restarting: ErrorStatus(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
}


@dataclass
class Servicer(rpc.AttributionServiceServicer):
    """Takes batches, and ends the streams to come with the errors it was given, each after some."""

    ends: list[tuple[int, Exception]] = field(default_factory=list)
    streams: list[list[str]] = field(default_factory=list)

    async def ComputeLfi(  # noqa: N802
        self, requests: AsyncIterator[pb.ComputeLfiRequest], context: Any
    ) -> AsyncIterator[pb.ComputeLfiResponse]:
        after, error = self.ends.pop(0) if self.ends else (-1, None)
        taken: list[str] = []
        self.streams.append(taken)
        racing = (await anext(aiter(requests))).options.HasField("racing")
        async for request in requests:
            if len(taken) == after and error is not None:
                raise error
            batch_id = request.batch.batch_id
            taken.append(batch_id)
            if racing:
                standing = pb.RaceStanding(example_count=len(taken))
                yield pb.ComputeLfiResponse(batch_id=batch_id, standing=standing)
            else:
                receipt = pb.BatchReceipt(example_count=512)
                yield pb.ComputeLfiResponse(batch_id=batch_id, receipt=receipt)


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()  # type: ignore[abstract]


@pytest.fixture
async def address(servicer: Servicer) -> AsyncIterator[str]:
    service = Service(
        names=[],
        register=lambda server: rpc.add_AttributionServiceServicer_to_server(servicer, server),
        errors=ERRORS,
        access={METHOD: Role.PIPELINE},
    )
    settings = ServiceSettings()
    server = build_server(service, settings)
    address = bind(server, settings)
    await server.start()
    yield address
    await server.stop(None)


def race(address: str, timeout: float = 60.0) -> pb.RaceStanding:
    with Client(address, model="ads_ctr") as client:
        racing = pb.Racing(top_k=1, confidence=0.9)
        return client.race(WIDE, racing=racing, event_time=NOW, timeout=timeout)


def log(address: str) -> int:
    with Client(address, model="ads_ctr") as client:
        with client.examples(on_full="wait") as examples:
            examples.send(WIDE, event_time=NOW)
        return examples.stats.accepted


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_race_that_is_refused_in_mid_stream_says_why(
    address: str, servicer: Servicer, after: int
) -> None:
    for _ in range(ROUNDS):
        servicer.ends.append((after, Gone("the checkpoint is gone")))
        with pytest.raises(NotFound, match="the checkpoint is gone") as caught:
            await asyncio.to_thread(race, address)
        assert caught.value.reason == "CHECKPOINT_NOT_FOUND"
    assert len(servicer.streams) == ROUNDS


async def test_the_async_race_says_why_too(address: str, servicer: Servicer) -> None:
    racing = pb.Racing(top_k=1, confidence=0.9)
    async with aio.Client(address, model="ads_ctr") as client:
        for _ in range(ROUNDS):
            servicer.ends.append((2, Refused([("batch", "not like this")])))
            with pytest.raises(InvalidRequest, match="not like this"):
                await client.race(WIDE, racing=racing, event_time=NOW)


async def test_a_race_whose_stream_breaks_starts_anew(address: str, servicer: Servicer) -> None:
    servicer.ends += [(3, Restarting("restarting")), (0, Restarting("restarting"))]
    standing = await asyncio.to_thread(race, address)
    assert standing.example_count == len(servicer.streams[2]) == 40
    assert [len(taken) for taken in servicer.streams] == [3, 0, 40]


async def test_a_race_gives_up_in_time(address: str, servicer: Servicer) -> None:
    servicer.ends += [(0, Restarting("restarting"))] * 1000
    with pytest.raises(Unavailable):
        await asyncio.to_thread(race, address, timeout=3.0)
    assert len(servicer.streams) > 1


async def test_a_log_that_is_refused_in_mid_stream_says_why(
    address: str, servicer: Servicer
) -> None:
    for _ in range(ROUNDS):
        servicer.ends.append((0, Gone("the checkpoint is gone")))
        with pytest.raises(NotFound, match="the checkpoint is gone"):
            await asyncio.to_thread(log, address)


async def test_a_log_whose_stream_breaks_sends_the_rest_again(
    address: str, servicer: Servicer
) -> None:
    servicer.ends += [(5, Restarting("restarting")), (2, Restarting("restarting"))]
    assert await asyncio.to_thread(log, address) == 20_000
    first, second, third = servicer.streams
    # What was taken and not yet read comes again under its id, where it counts once.
    assert len(dict.fromkeys([*first, *second, *third])) == 40
