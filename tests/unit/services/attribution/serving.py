"""A served attribution service, and what to say to it."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import example_pb2, importance_pb2
from aftershock.v1.attribution_service_pb2_grpc import (
    AttributionServiceStub,
    add_AttributionServiceServicer_to_server,
)
from services.attribution.adapters.folder_checkpoints import FolderCheckpoints
from services.attribution.adapters.grpc_access import ACCESS
from services.attribution.adapters.grpc_errors import ERRORS
from services.attribution.adapters.grpc_servicer import AttributionServicer
from services.attribution.adapters.grpc_sink import GrpcSink
from services.attribution.adapters.inference import Inference
from services.attribution.adapters.memory_checkpoints import MemoryCheckpoints
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.example import Examples
from services.attribution.load import Load
from services.attribution.ports import Ablator, Scorer
from services.chassis.server import Service, bind, build_server
from services.chassis.settings import ServiceSettings
from tests.checkpoints import TRAINED_UNTIL, arrow_stream, random_examples
from tests.unit.services.attribution.predictors import plain, small_predictor

NAME = "models/ads_ctr/checkpoints/1"
EXAMPLES = random_examples(count=50, seed=8)
LATER = TRAINED_UNTIL + timedelta(hours=3)

Stub = Any


class ServedAttribution:
    """Serves attribution with the small model `dots` loaded."""

    def __init__(
        self,
        root: Path,
        sink: GrpcSink | None,
        *,
        budget: int | None = None,
        most_waiting: int = 64,
        ablators: Callable[[TorchPredictor], Ablator] = plain,
    ) -> None:
        self._inference = ThreadPoolExecutor(max_workers=1)
        self._decoding = ThreadPoolExecutor(max_workers=1)
        checkpoints = MemoryCheckpoints(budget)
        dots = small_predictor("dots")
        checkpoints.add(Scorer(dots, ablators(dots), size_bytes=1))
        self._servicer = AttributionServicer(
            checkpoints=checkpoints,
            load=Load(FolderCheckpoints([root], {".pt2": TorchPrograms(ablators)}), checkpoints),
            sink=sink,
            inference=Inference(self._inference, self._decoding, most_waiting),
            block_examples=64,
            batches_under_way=3,
            examples_at_once=16,
        )

    async def __aenter__(self) -> Stub:
        settings = ServiceSettings()
        service = Service(
            names=[],
            register=lambda s: add_AttributionServiceServicer_to_server(self._servicer, s),
            errors=ERRORS,
            access=ACCESS,
        )
        self._server = build_server(service, settings)
        self.address = bind(self._server, settings)
        await self._server.start()
        self._channel = grpc.aio.insecure_channel(self.address)
        return AttributionServiceStub(self._channel)

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
        await self._server.stop(0)
        self._decoding.shutdown()
        self._inference.shutdown()


def options(
    delivery: pb.Delivery.ValueType = pb.DELIVERY_UNSPECIFIED,
    method: importance_pb2.LfiMethod.ValueType = importance_pb2.LFI_METHOD_UNSPECIFIED,
    checkpoint: str = "models/ads_ctr",
) -> pb.ComputeLfiRequest:
    """Return the first request of a stream."""
    chosen = pb.ComputeLfiOptions(checkpoint=checkpoint, delivery=delivery, method=method)
    return pb.ComputeLfiRequest(options=chosen)


def batch(
    batch_id: str, examples: Examples | pa.Table | bytes = EXAMPLES, at: datetime = LATER
) -> pb.ComputeLfiRequest:
    """Return a request with a batch."""
    stream = examples if isinstance(examples, bytes) else arrow_stream(examples)
    message = example_pb2.ExampleBatch(
        batch_id=batch_id, population=example_pb2.POPULATION_CONSIDERED, arrow_stream=stream
    )
    message.event_time.FromDatetime(at)
    return pb.ComputeLfiRequest(batch=message)


async def answers(stub: Stub, requests: Iterable[pb.ComputeLfiRequest]) -> list[Any]:
    """Return all answers to the requests of one stream."""
    return [response async for response in stub.ComputeLfi(iter(requests))]


def reason(error: Status) -> str:
    """Return the reason in a status."""
    for detail in error.details:
        info = ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason).removeprefix("ERROR_REASON_")
    return ""


def field_of(error: Status) -> str:
    """Return the path of the field at fault in a status."""
    for detail in error.details:
        bad = BadRequest()
        if detail.Unpack(bad):
            return str(bad.field_violations[0].field)
    return ""


def failure(error: grpc.aio.AioRpcError) -> Status:
    """Return the status that a call ended with."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return Status.FromString(value)
    return Status(message=error.details())


def dense(block: importance_pb2.LfiBlock) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a block's importances as `[N, M]`."""
    offsets = np.frombuffer(block.feature_offsets.data, "<u4").astype(int)
    matrix = np.zeros((block.example_count, len(offsets) - 1))
    rows = np.frombuffer(block.example_indices.data, "<u4")
    matrix[rows, np.repeat(np.arange(matrix.shape[1]), np.diff(offsets))] = np.frombuffer(
        block.values.data, "<f4"
    )
    return matrix
