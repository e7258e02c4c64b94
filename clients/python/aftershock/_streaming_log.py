"""The example log that sends, and its promise never to slow a pipeline down unasked."""

import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from aftershock._courier import Courier
from aftershock._encoding import count_examples, encode
from aftershock._errors import Unavailable
from aftershock._log import ExampleLog, Examples, LogStats, OnFull, logger
from aftershock._names import timestamp
from aftershock._sampling import Sampler
from aftershock.v1.example_pb2 import ExampleBatch, Population


class StreamingLog(ExampleLog):
    """Encodes batches in the caller's thread and hands them to a courier."""

    def __init__(
        self,
        courier: Courier,
        population: Population.ValueType,
        on_full: OnFull,
        sampler: Sampler,
        timeout: float,
    ) -> None:
        self._courier = courier
        self._outbox = courier.outbox
        self._population = population
        self._waits = on_full == "wait"
        self._sampler = sampler
        self._timeout = timeout
        self._is_first = True
        self._has_raised = False

    @property
    def stats(self) -> LogStats:
        """What became of the examples so far."""
        return self._outbox.stats

    def __enter__(self) -> Self:
        self._courier.start()
        return self

    def send(self, batch: Examples, *, event_time: datetime, batch_id: str | None = None) -> None:
        """Send examples. See ExampleLog.send."""
        if not self._courier.is_running and self._courier.failure is None:
            raise RuntimeError("the log is not open: use it as 'with client.examples() as log:'")
        stamp = timestamp(event_time, "event_time")
        self._raise_failure()
        count = count_examples(batch)
        rows = self._sampler.draw(count)
        if not self._waits and not self._outbox.has_room:
            # Before the work of encoding: a full buffer is no time to slow the pipeline down.
            self._drop(count if rows is None else len(rows))
            return
        name = uuid4().hex if batch_id is None else batch_id
        for number, (arrow_stream, example_count) in enumerate(encode(batch, rows)):
            message = ExampleBatch(
                batch_id=f"{name}/{number}",
                population=self._population,
                event_time=stamp,
                arrow_stream=arrow_stream,
            )
            self._put(message, example_count)
        if rows is None or len(rows):
            self._await_first_answer()
        self._raise_failure()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        courier = self._courier
        courier.close()
        self._wait(lambda: self._outbox.is_empty or courier.is_hopeless or not courier.is_running)
        lost = courier.stop(self._timeout)
        if lost:
            logger.warning("%d examples were not answered in time and count as dropped", lost)
        if kind is None:
            self._raise_failure()
            if lost and self._waits:
                raise Unavailable(
                    f"{lost} examples were not answered within {self._timeout:g} s: "
                    "send them again later",
                    code="UNAVAILABLE",
                )

    def _put(self, message: ExampleBatch, example_count: int) -> None:
        if self._waits:
            self._wait(lambda: self._outbox.has_room or self._courier.failure)
            self._raise_failure()
        if self._outbox.has_room:
            self._courier.put(message, example_count)
            return
        self._drop(example_count)
        if self._waits:
            raise Unavailable(
                f"the buffer is full and nothing was answered for {self._timeout:g} s: "
                "is the service overloaded?",
                code="UNAVAILABLE",
            )

    def _drop(self, example_count: int) -> None:
        with self._courier.changed:
            self._outbox.drop(example_count)
        self._courier.warn_once("full", "the example buffer is full: see log.stats.dropped")

    def _await_first_answer(self) -> None:
        """Wait for the first answer, so that a wrong schema fails at the first batch.

        A service that is not there does not hold a pipeline up, unless it asked to wait.
        """
        if not self._is_first:
            return
        self._is_first = False
        courier = self._courier
        self._wait(
            lambda: (
                courier.answer_count or courier.failure or (courier.is_broken and not self._waits)
            )
        )

    def _wait(self, condition: Callable[[], Any]) -> None:
        """Wait for a condition of the courier, at most for the timeout.

        When the pipeline asked to wait, each answer starts the timeout anew: slow is fine, silent
        is not.
        """
        courier = self._courier
        with courier.changed:
            seen, deadline = courier.answer_count, time.monotonic() + self._timeout
            while not condition() and (left := deadline - time.monotonic()) > 0:
                courier.changed.wait(left)
                if self._waits and courier.answer_count != seen:
                    seen, deadline = courier.answer_count, time.monotonic() + self._timeout

    def _raise_failure(self) -> None:
        """Tell the pipeline what is wrong, once: who goes on regardless has been told."""
        failure = self._courier.failure
        if failure is not None and not self._has_raised:
            self._has_raised = True
            raise failure
