"""An attribution that is away, busy or broken: asked again, or told apart from a mistake."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import attribution_service_pb2_grpc as pb_grpc
from aftershock.v1 import importance_pb2
from services.audit.adapters.arrow_parts import stream_of
from services.audit.adapters.grpc_checkpoint_tests import GrpcCheckpointTests
from services.audit.domain.errors import PartnerFailed, PartnerRefused, PartnerUnavailable
from services.audit.domain.parameters import InsertionParameters, SaliencyParameters
from services.chassis.channel import open_channel
from services.chassis.errors import ErrorStatus, ErrorTable, Overloaded
from services.chassis.server import Service, build_server
from services.chassis.settings import ServiceSettings
from services.chassis.tokens import Role

WANTED = InsertionParameters("models/m", "watched", "examples.parquet")
IMAGES = SaliencyParameters("models/m", "features.0", "images.parquet", "mask", 2, 3)
SERVICE = "/aftershock.v1.AttributionService"
ACCESS = {f"{SERVICE}/{name}": Role.READER for name in ("TestInsertion", "ComputeSaliency")}


class Broken(Exception):
    """Something of its own."""


TABLE: ErrorTable = {
    Broken: ErrorStatus(grpc.StatusCode.INTERNAL, 5),  # type: ignore[arg-type]
}


class Attribution(pb_grpc.AttributionServiceServicer):
    """Fails with each error once, then answers; keeps when it was asked."""

    def __init__(self, errors: Sequence[Exception] = ()) -> None:
        self._errors = list(errors)
        self.asked: list[float] = []
        self.rows: list[int] = []

    async def TestInsertion(  # noqa: N802
        self, request: pb.TestInsertionRequest, context: Any
    ) -> pb.TestInsertionResponse:
        self._maybe_fail()
        outcomes = [pb.InsertionOutcome(id=id_, example_count=1) for id_ in request.ids]
        return pb.TestInsertionResponse(outcomes=outcomes)

    async def ComputeSaliency(  # noqa: N802
        self, request: pb.ComputeSaliencyRequest, context: Any
    ) -> pb.ComputeSaliencyResponse:
        self._maybe_fail()
        with pa.ipc.open_stream(request.arrow_stream) as reader:
            first = reader.read_all().column("row").to_numpy()
        self.rows.append(len(first))
        maps = np.repeat(first.astype("<f4"), request.height * request.width)
        return pb.ComputeSaliencyResponse(maps=importance_pb2.Tensor(data=maps.tobytes()))

    def _maybe_fail(self) -> None:
        self.asked.append(time.monotonic())
        if self._errors:
            raise self._errors.pop(0)


@asynccontextmanager
async def served(attribution: Attribution, port: int = 0) -> AsyncIterator[int]:
    """Serve, and yield the port."""

    def register(server: grpc.aio.Server) -> None:
        pb_grpc.add_AttributionServiceServicer_to_server(attribution, server)

    service = Service(names=[], register=register, errors=TABLE, access=ACCESS)
    server = build_server(service, ServiceSettings())
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(0)


@asynccontextmanager
async def asking(port: int, patience: float = 20.0) -> AsyncIterator[GrpcCheckpointTests]:
    """Yield tests that ask who listens on a port."""
    async with open_channel(f"127.0.0.1:{port}", ServiceSettings(), retries=False) as channel:
        yield GrpcCheckpointTests(channel, (), patience)


async def test_who_is_busy_is_asked_again_when_it_says() -> None:
    attribution = Attribution([Overloaded("busy", retry_after=0.3)])  # type: ignore[abstract]
    async with served(attribution) as port, asking(port) as tests:
        found = await tests.insertions(WANTED, [7, 9], b"examples")
    assert list(found) == [7, 9]
    first, second = attribution.asked
    assert second - first >= 0.3


async def test_who_is_away_is_waited_for() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with asking(port) as tests:
        waiting = asyncio.create_task(tests.insertions(WANTED, [7], b"examples"))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        async with served(Attribution(), port):  # type: ignore[abstract]
            assert list(await waiting) == [7]


async def test_patience_ends() -> None:
    busy = [Overloaded("busy", retry_after=0.05) for _ in range(1000)]
    attribution = Attribution(busy)  # type: ignore[abstract]
    async with served(attribution) as port, asking(port, patience=0.4) as tests:
        with pytest.raises(PartnerUnavailable, match="RESOURCE_EXHAUSTED: busy; start the audit"):
            await tests.insertions(WANTED, [7], b"examples")
    assert 1 < len(attribution.asked) < 1000


async def test_what_is_broken_is_asked_once() -> None:
    attribution = Attribution([Broken("its matrix is singular")])  # type: ignore[abstract]
    async with served(attribution) as port, asking(port) as tests:
        with pytest.raises(PartnerFailed, match="INTERNAL: its matrix is singular") as raised:
            await tests.insertions(WANTED, [7], b"examples")
    assert raised.value.field == "parameters.insertion"
    assert len(attribution.asked) == 1


async def test_many_ids_are_asked_about_in_several_requests() -> None:
    attribution = Attribution()  # type: ignore[abstract]
    async with served(attribution) as port, asking(port) as tests:
        found = await tests.insertions(WANTED, range(1, 251), b"examples")
    assert list(found) == list(range(1, 251))
    assert len(attribution.asked) == 3


async def test_images_go_in_parts_that_fit_and_maps_come_back_in_order() -> None:
    height, width, count = 1024, 2048, 9
    wanted = SaliencyParameters("models/m", "features.0", "file", "mask", height, width)
    attribution = Attribution()  # type: ignore[abstract]
    examples = stream_of(pa.table({"row": list(range(count))}))
    async with served(attribution) as port, asking(port) as tests:
        maps = await tests.saliency("models/m", wanted, examples)
    assert attribution.rows == [4, 4, 1]
    assert maps.shape == (count, height, width)
    assert [maps[row, -1, -1] for row in range(count)] == list(range(count))


async def test_more_than_a_message_holds_is_refused() -> None:
    huge = SaliencyParameters("models/m", "features.0", "file", "mask", 4096, 4096)
    async with asking(1) as tests:
        with pytest.raises(PartnerRefused, match="4096 x 4096 is larger than") as raised:
            await tests.saliency("models/m", huge, stream_of(pa.table({"row": [1]})))
        assert raised.value.field == "parameters.saliency.height"
        with pytest.raises(PartnerRefused, match="1000 examples take 33 MiB") as raised:
            await tests.insertions(WANTED, [7], bytes(33 << 20))
        assert raised.value.field == "parameters.insertion.example_count"
