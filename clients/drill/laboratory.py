"""The real platform, with windows of a minute's event time each: as many as a drill wants."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import grpc
import numpy as np
import numpy.typing as npt
import pyarrow as pa

import aftershock
from aftershock.v1.attribution_service_pb2 import (
    ComputeLfiOptions,
    ComputeLfiRequest,
    ComputeLfiResponse,
    Delivery,
)
from aftershock.v1.attribution_service_pb2_grpc import AttributionServiceStub
from aftershock.v1.example_pb2 import ExampleBatch, Population
from aftershock.v1.importance_pb2 import LfiBlock, LfiMethod
from aftershock.v1.shift_pb2 import Comparison
from aftershock.v1.window_pb2 import WindowState
from clients.drill.errors import DrillError
from clients.drill.subject import Slice, Subject
from deploy.local import Platform
from services.chassis.tokens import Role

WINDOW = timedelta(minutes=1)
MAX_BATCH_ROWS = 512
MAX_BATCH_BYTES = 3 * 1024 * 1024
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
CLOSE_SECONDS = 120.0
_POLL_SECONDS = 0.1
_SETTINGS = {
    "AFTERSHOCK_AGGREGATOR_WINDOW_SECONDS": str(int(WINDOW.total_seconds())),
    "AFTERSHOCK_AGGREGATOR_FEWEST_EXAMPLES": "1",
    "AFTERSHOCK_AGGREGATOR_FURTHEST_AHEAD_SECONDS": "1e10",
    "AFTERSHOCK_AGGREGATOR_SAMPLE_EXAMPLES": "0",
}


class RefusedBatch(DrillError):
    """A service refused examples; its text says why."""


@dataclass(frozen=True)
class Logged:
    """A window and the mean of its predictions."""

    window: str
    mean_prediction: float
    example_count: int


@dataclass(frozen=True)
class Lfis:
    """Importances by example: `values` float64 [N, M], `predictions` float32 [N]."""

    values: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.float32]


class Laboratory:
    """Attributes windows one after the other, each after the last in event time."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self._subject = subject
        self._platform = Platform(folder, checkpoints=[subject.checkpoint], settings=_SETTINGS)
        self._stack = ExitStack()
        self._next = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            platform = stack.enter_context(self._platform)
            token = platform.token("drill", Role.PIPELINE, Role.READER)
            at = platform.addresses
            options = [
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ]
            channel = stack.enter_context(grpc.insecure_channel(at.attribution, options))
            self._attribution = AttributionServiceStub(channel)
            self._metadata = (("authorization", f"Bearer {token}"),)
            self.client = stack.enter_context(
                aftershock.Client(
                    attribution=at.attribution,
                    aggregator=at.aggregator,
                    token=token,
                    model=self._subject.release.model,
                    timeout=60.0,
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def log(self, examples: pa.Table, like: Slice, *, healthy: bool = False) -> Logged:
        """Attribute a window's examples. If `healthy`, its outcomes are told to be as expected.

        Raises:
            RefusedBatch: a service refused some of them.
        """
        start = self._start(self._next)
        self._next += 1
        requests = self._requests(examples, like, start)
        total, count = 0.0, 0
        for answer in self._attribution.ComputeLfi(requests, metadata=self._metadata):
            predictions = _predictions(answer)
            total += float(predictions.sum(dtype=np.float64))
            count += len(predictions)
        if healthy:
            self.client.outcomes(
                start=start, end=start + WINDOW, expected=round(total), observed=round(total)
            )
        name = f"models/{self._subject.release.model}/windows/{start:%Y%m%dT%H%M%SZ}"
        return Logged(name, total / max(count, 1), count)

    def skip(self, windows: int) -> None:
        """Let so many windows pass in which nothing is logged."""
        self._next += windows

    def lfis(self, examples: pa.Table, method: LfiMethod.ValueType) -> Lfis:
        """The LFI of every feature in every example; no window takes them.

        Raises:
            RefusedBatch: the service refused some of them.
        """
        requests = self._requests(
            examples, Slice(examples), self._start(self._next), method, Delivery.DELIVERY_CALLER
        )
        answers = list(self._attribution.ComputeLfi(requests, metadata=self._metadata))
        predictions = [_predictions(answer) for answer in answers]
        return Lfis(np.concatenate([_dense(a.block) for a in answers]), np.concatenate(predictions))

    def compare(self, anomaly: Logged, control: Logged) -> Comparison:
        """Hold two windows against each other, all features ranked."""
        top = len(self._subject.schema.features)
        return self.client.compare(anomaly.window, control=control.window, top=top)

    def importances(self, logged: Logged) -> dict[str, float]:
        """The GFI of each feature in a window."""
        return {found.feature: found.gfi for found in self.client.gfi(logged.window)}

    def settle(self) -> None:
        """Wait until every window but the last is closed.

        Raises:
            DrillError: that takes too long.
        """
        deadline = time.monotonic() + CLOSE_SECONDS
        while time.monotonic() < deadline:
            windows = self.client.windows()
            if all(w.state == WindowState.WINDOW_STATE_CLOSED for w in windows[1:]):
                return
            time.sleep(_POLL_SECONDS)
        raise DrillError(f"windows are still open after {CLOSE_SECONDS:g} s")

    def _start(self, number: int) -> datetime:
        """When a window begins: on the first whole minute that the checkpoint has not seen."""
        until = self._subject.release.trained_until
        minute = until.replace(second=0, microsecond=0)
        return minute + (number + (1 if minute < until else 0)) * WINDOW

    def _requests(
        self,
        examples: pa.Table,
        like: Slice,
        start: datetime,
        method: LfiMethod.ValueType = LfiMethod.LFI_METHOD_PSEUDO_LOSS,
        delivery: Delivery.ValueType = Delivery.DELIVERY_BOTH,
    ) -> Iterator[ComputeLfiRequest]:
        release = self._subject.release
        yield ComputeLfiRequest(
            options=ComputeLfiOptions(
                checkpoint=f"models/{release.model}/checkpoints/{release.version}",
                method=method,
                delivery=delivery,
            )
        )
        features = examples.select(list(self._subject.schema.names()))
        for population, rows in _populations(like, features.num_rows):
            part = features if rows is None else features.take(pa.array(rows))
            for number, stream in enumerate(streams(part)):
                batch = ExampleBatch(
                    batch_id=f"{start:%Y%m%dT%H%M%S}/{population}/{number}",
                    population=population,
                    arrow_stream=stream,
                )
                batch.event_time.FromDatetime(start)
                yield ComputeLfiRequest(batch=batch)


def streams(examples: pa.Table) -> Iterator[bytes]:
    """Examples as Arrow IPC streams that one message holds each."""
    bytes_a_row = max(1, examples.nbytes // max(examples.num_rows, 1))
    most = max(1, min(MAX_BATCH_ROWS, MAX_BATCH_BYTES // bytes_a_row))
    for first in range(0, examples.num_rows, most):
        sink = pa.BufferOutputStream()
        part = examples.slice(first, most).combine_chunks()
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
        yield sink.getvalue().to_pybytes()


def _populations(
    like: Slice, count: int
) -> Iterator[tuple[Population.ValueType, npt.NDArray[np.intp] | None]]:
    """Which rows go into which population: whatever was displayed was considered, too."""
    yield Population.POPULATION_CONSIDERED, None
    if like.displayed is not None and count:
        yield Population.POPULATION_DISPLAYED, np.flatnonzero(like.displayed)


def _dense(block: LfiBlock) -> npt.NDArray[np.float64]:
    offsets = np.frombuffer(block.feature_offsets.data, "<u4").astype(np.int64)
    features = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    dense = np.zeros((block.example_count, len(offsets) - 1))
    examples = np.frombuffer(block.example_indices.data, "<u4")
    dense[examples, features] = np.frombuffer(block.values.data, "<f4")
    return dense


def _predictions(answer: ComputeLfiResponse) -> npt.NDArray[np.float32]:
    if answer.HasField("error"):
        raise RefusedBatch(f"batch {answer.batch_id}: {answer.error.message}")
    return np.frombuffer(answer.block.predictions.data, "<f4")
