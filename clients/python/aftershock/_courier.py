"""Carries examples to attribution: a thread that keeps one ComputeLfi stream going."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from aftershock._backoff import Backoff
from aftershock._errors import (
    AftershockError,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotFound,
    SchemaMismatch,
    ServiceError,
    Unavailable,
    error_of_call,
)
from aftershock._log import logger
from aftershock._outbox import Outbox
from aftershock.v1.attribution_service_pb2 import (
    ComputeLfiOptions,
    ComputeLfiRequest,
    ComputeLfiResponse,
)
from aftershock.v1.example_pb2 import ExampleBatch

_HOPELESS = (InvalidRequest, NotAllowed, NotFound, Conflict)
"""What a stream that never worked may end with, and waiting does not mend."""

OpenStream = Callable[[Iterator[ComputeLfiRequest]], Any]
"""Starts ComputeLfi with requests; returns the call, an iterator of responses."""


class Courier:
    """Empties an outbox into a stream, and opens the stream again when it breaks.

    All state changes under `changed`, which wakes whoever waits for it.
    """

    def __init__(
        self, open_stream: OpenStream, callee: str, options: ComputeLfiOptions, outbox: Outbox
    ) -> None:
        self._open_stream = open_stream
        self._callee = callee
        self._options = options
        self.outbox = outbox
        self.changed = threading.Condition()
        self.answer_count = 0
        """Batches accepted or refused for good."""
        self.is_broken = False
        """Whether the last thing heard was that the service is not available."""
        self.failure: AftershockError | None = None
        """What the pipeline has to be told."""
        self.is_hopeless = False
        """Whether nothing was ever accepted, for a reason that waiting does not mend."""
        self._thread = threading.Thread(target=self._run, name="aftershock-log", daemon=True)
        self._call: Any = None
        self._stream = 0
        self._not_before = 0.0
        self._closing = False
        self._warned: set[str] = set()

    @property
    def is_running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, batch: ExampleBatch, example_count: int) -> None:
        """Take a batch to carry."""
        with self.changed:
            self.outbox.put(batch, example_count)
            self.changed.notify_all()

    def close(self) -> None:
        """Let the stream end once the outbox is empty."""
        with self.changed:
            self._closing = True
            self.changed.notify_all()

    def stop(self, timeout: float) -> int:
        """Give up what is left and end; return how many examples that was."""
        with self.changed:
            lost = self.outbox.discard()
            self.changed.notify_all()
        if lost:
            self._cancel()
        self._thread.join(timeout)
        self._cancel()
        return lost

    def warn_once(self, kind: str, message: str) -> None:
        """Log a warning, once a kind until things are well again."""
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("%s", message)

    @property
    def _is_done(self) -> bool:
        return self._closing and self.outbox.is_empty

    def _cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()

    def _run(self) -> None:
        backoff = Backoff()
        while not self._is_done:
            try:
                self._converse(backoff)
            except grpc.RpcError as error:
                self._note_break(error_of_call(error, self._callee))
            except Exception as error:
                logger.exception("the example log stopped")
                self._fail(AftershockError(f"the example log stopped: {error!r}"))
                return
            with self.changed:
                if not self._is_done:
                    self.changed.wait(backoff.pause())

    def _converse(self, backoff: Backoff) -> None:
        """Open a stream and settle its answers until it ends."""
        self._stream += 1
        call = self._call = self._open_stream(self._requests(self._stream))
        try:
            for response in call:
                self._settle(response)
                backoff.reset()
        finally:
            with self.changed:
                # By this the generator of the stream's requests sees that it is over.
                self._stream += 1
                self.outbox.rewind()
                self.changed.notify_all()
            call.cancel()

    def _requests(self, stream: int) -> Iterator[ComputeLfiRequest]:
        yield ComputeLfiRequest(options=self._options)
        while (batch := self._next_batch(stream)) is not None:
            yield ComputeLfiRequest(batch=batch)

    def _next_batch(self, stream: int) -> ExampleBatch | None:
        with self.changed:
            while stream == self._stream and not self._is_done:
                pause = self._not_before - time.monotonic()
                if pause <= 0 and (batch := self.outbox.take()) is not None:
                    return batch
                self.changed.wait(pause if pause > 0 else None)
        return None

    def _settle(self, response: ComputeLfiResponse) -> None:
        with self.changed:
            error = self.outbox.settle(response)
            if isinstance(error, Unavailable):
                self._not_before = time.monotonic() + (error.retry_after or 1.0)
                self.is_broken = True
            else:
                self.answer_count += 1
                self._warned = set() if self.is_broken else self._warned
                self.is_broken = False
                self.is_hopeless = self.is_hopeless and error is not None
            # Before the lock goes: who waits for an answer has to see its failure too.
            if isinstance(error, SchemaMismatch) or (error and error.reason == "INVALID_REQUEST"):
                self._fail(error)
            elif isinstance(error, NotAllowed | NotFound):
                self._fail_to_start(error)
            self.changed.notify_all()
        if error is not None:
            self.warn_once(error.reason or error.code, f"{self._callee}: {error}")

    def _note_break(self, error: ServiceError) -> None:
        with self.changed:
            if self._is_done:
                return
            self.is_broken = True
            if isinstance(error, _HOPELESS) or error.code == "UNIMPLEMENTED":
                self._fail_to_start(error)
            self.changed.notify_all()
        self.warn_once(error.code, f"{error}; trying again")

    def _fail_to_start(self, error: ServiceError) -> None:
        # After the first acceptance the same error is an outage of ours: no reason to stop a
        # pipeline.
        if not self.outbox.stats.accepted:
            self.is_hopeless = True
            self._fail(error)

    def _fail(self, error: AftershockError) -> None:
        with self.changed:
            self.failure = self.failure or error
            self.changed.notify_all()
