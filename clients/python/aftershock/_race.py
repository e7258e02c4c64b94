"""A race for the most important features: batches up one ComputeLfi stream, standings back."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

import grpc
import numpy as np

from aftershock._backoff import Backoff
from aftershock._encoding import count_examples, encode
from aftershock._errors import (
    ServerFailure,
    Unavailable,
    error_of,
    error_of_call,
    pause_before_retry,
)
from aftershock._log import Examples
from aftershock._names import timestamp
from aftershock.v1.attribution_service_pb2 import (
    ComputeLfiOptions,
    ComputeLfiRequest,
    ComputeLfiResponse,
    RaceStanding,
)
from aftershock.v1.example_pb2 import ExampleBatch, Population

_UNANSWERED = 8
"""Batches under way: more would only wait at the service."""

OpenStream = Callable[[Iterator[ComputeLfiRequest], float], Any]
"""Starts ComputeLfi with requests and a timeout; returns the call, an iterator of responses."""


@dataclass(frozen=True)
class Race:
    """Examples to race over, and where."""

    open_stream: OpenStream
    callee: str
    options: ComputeLfiOptions
    examples: Examples
    population: Population.ValueType
    event_time: datetime
    seed: int

    def run(self, timeout: float) -> RaceStanding:
        """Return how the race ends.

        A stream that breaks starts the race anew, for as long as the timeout allows.
        """
        deadline, backoff = time.monotonic() + timeout, Backoff()
        while True:
            try:
                return self._run_once(deadline)
            except grpc.RpcError as error:
                failure = error_of_call(error, self.callee)
            pause = max(backoff.pause(), failure.retry_after or 0.0)
            if not isinstance(failure, Unavailable) or time.monotonic() + pause >= deadline:
                raise failure
            time.sleep(pause)

    def _run_once(self, deadline: float) -> RaceStanding:
        requests: SimpleQueue[ComputeLfiRequest | None] = SimpleQueue()
        requests.put(ComputeLfiRequest(options=self.options))
        call = self.open_stream(iter(requests.get, None), deadline - time.monotonic())
        try:
            return self._converse(call, requests.put, deadline)
        finally:
            requests.put(None)
            call.cancel()

    def _converse(
        self,
        call: Iterator[ComputeLfiResponse],
        send: Callable[[ComputeLfiRequest], None],
        deadline: float,
    ) -> RaceStanding:
        """Keep some batches under way until all are answered; return the last answer."""
        rest, unanswered = self._batches(), dict[str, ComputeLfiRequest]()

        def send_next() -> None:
            for batch in rest:
                unanswered[batch.batch_id] = ComputeLfiRequest(batch=batch)
                send(unanswered[batch.batch_id])
                return

        for _ in range(_UNANSWERED):
            send_next()
        for response in call:
            if response.HasField("error"):
                _pause_or_raise(response, deadline)
                send(unanswered[response.batch_id])
                continue
            del unanswered[response.batch_id]
            send_next()
            if not unanswered:
                return _standing(response, self.callee)
        raise ServerFailure(f"the {self.callee} ended the race before all batches were answered")

    def _batches(self) -> Iterator[ExampleBatch]:
        """Yield the examples in random order, in chunks."""
        event_time = timestamp(self.event_time, "event_time")
        order = np.random.default_rng(self.seed).permutation(count_examples(self.examples))
        name = uuid4().hex
        for number, (arrow_stream, _) in enumerate(encode(self.examples, order)):
            yield ExampleBatch(
                batch_id=f"{name}/{number}",
                population=self.population,
                event_time=event_time,
                arrow_stream=arrow_stream,
            )


def _pause_or_raise(response: ComputeLfiResponse, deadline: float) -> None:
    """Wait for as long as a busy service says; raise what is wrong with a batch for good."""
    failure = error_of(response.error)
    pause = pause_before_retry(failure, deadline - time.monotonic())
    if pause is None:
        raise failure
    time.sleep(pause)


def _standing(response: ComputeLfiResponse, callee: str) -> RaceStanding:
    if not response.HasField("standing"):
        raise ServerFailure(f"the {callee} does not know races: it is older than this client")
    return response.standing
