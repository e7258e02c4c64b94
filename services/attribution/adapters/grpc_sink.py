"""Delivers blocks to the aggregator over one IngestLfi stream."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceStub
from services.attribution.adapters.grpc_errors import BlockRefused
from services.attribution.adapters.grpc_messages import block_message, checkpoint_message
from services.attribution.domain.block import LfiBlock, Receipt
from services.attribution.domain.errors import DeliveryUnavailable
from services.chassis.failed_calls import retry_delay_in, status_in

if TYPE_CHECKING:
    from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceAsyncStub

_log = logging.getLogger(__name__)
_FIRST_DELAY, _LONGEST = 0.1, 5.0
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Ends of a stream that another try would meet again."""

_Call = grpc.aio.StreamStreamCall[pb.IngestLfiRequest, pb.IngestLfiResponse]


@dataclass
class _Delivery:
    """A block on its way."""

    block: LfiBlock
    answer: asyncio.Future[Receipt] = field(default_factory=asyncio.Future)


class _OutOfStepError(Exception):
    """The aggregator answers something else than what it was sent."""


class GrpcSink:
    """An LfiSink whose blocks are stored once they are acknowledged.

    `run` keeps the stream. When it breaks, another is opened, and the blocks without an
    acknowledgement are sent again: the aggregator counts a block once.
    """

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        metadata: Sequence[tuple[str, str]] = (),
        *,
        most: int = 64,
        patience: float = 30.0,
    ) -> None:
        """Deliver over channels from `open_channel`, which is first called by `run`.

        At most `most` blocks are on their way; one gives up after `patience` seconds.
        """
        self._open_channel = open_channel
        self._metadata = metadata
        self._patience = patience
        self._room = asyncio.Semaphore(most)
        self._waiting: deque[_Delivery] = deque()
        self._sent: deque[_Delivery] = deque()
        self._more = asyncio.Event()
        self._acknowledged = 0

    async def deliver(self, block: LfiBlock) -> Receipt:
        """Return once the aggregator has stored the block."""
        try:
            async with asyncio.timeout(self._patience), self._room:
                delivery = _Delivery(block)
                self._queue(delivery)
                return await delivery.answer
        except TimeoutError as error:
            raise DeliveryUnavailable(
                f"the aggregator did not take the batch within {self._patience:g} s: send it again",
                retry_after=1.0,
            ) from error

    async def run(self) -> None:
        """Deliver until cancelled."""
        delay = _FIRST_DELAY
        while True:
            await self._wait_for_blocks()
            acknowledged = self._acknowledged
            try:
                async with self._open_channel() as channel:
                    await self._exchange(AggregatorServiceStub(channel))
                wanted = 0.0
            except (grpc.aio.AioRpcError, _OutOfStepError) as error:
                _log.warning("the stream to the aggregator broke", extra={"cause": _cause(error)})
                wanted = self._broken(error)
            delay = _FIRST_DELAY if self._acknowledged > acknowledged else min(2 * delay, _LONGEST)
            await asyncio.sleep(max(delay, wanted))

    def _queue(self, delivery: _Delivery) -> None:
        self._waiting.append(delivery)
        self._more.set()

    async def _wait_for_blocks(self) -> None:
        while not self._waiting:
            self._more.clear()
            await self._more.wait()

    async def _exchange(self, stub: "AggregatorServiceAsyncStub") -> None:
        """Send and settle blocks until the stream ends."""
        call = stub.IngestLfi(metadata=self._metadata)
        reading = asyncio.create_task(self._read(call))
        writing = asyncio.create_task(self._write(call))
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
            await reading
        finally:
            reading.cancel()
            writing.cancel()
            call.cancel()
            self._waiting.extendleft(reversed(self._sent))
            self._sent.clear()

    async def _write(self, call: _Call) -> None:
        registered: set[str] = set()
        try:
            while True:
                await self._wait_for_blocks()
                delivery = self._waiting.popleft()
                if delivery.answer.done():
                    continue
                self._sent.append(delivery)
                checkpoint = delivery.block.checkpoint
                if checkpoint.digest not in registered:
                    registered.add(checkpoint.digest)
                    await call.write(pb.IngestLfiRequest(checkpoint=checkpoint_message(checkpoint)))
                message = block_message(delivery.block, with_examples=True)
                await call.write(pb.IngestLfiRequest(block=message))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream has ended: reading says why.
            return

    async def _read(self, call: _Call) -> None:
        async for response in call:
            if not self._sent or self._sent[0].block.batch.batch_id != response.block_id:
                raise _OutOfStepError(f"an answer to {response.block_id!r}, which is not due")
            self._acknowledged += 1
            self._settle(self._sent.popleft(), response)

    def _settle(self, delivery: _Delivery, response: pb.IngestLfiResponse) -> None:
        """Pass the aggregator's answer on, or send the block again when it says when."""
        if delivery.answer.done():
            return
        if response.WhichOneof("result") == "receipt":
            delivery.answer.set_result(Receipt(duplicate=response.receipt.duplicate))
        elif (delay := retry_delay_in(response.error)) is not None:
            asyncio.get_running_loop().call_later(delay, self._queue, delivery)
        else:
            delivery.answer.set_exception(BlockRefused(response.error))

    def _broken(self, error: Exception) -> float:
        """Refuse blocks that would break the next stream too; return how long to wait at least."""
        if not isinstance(error, grpc.aio.AioRpcError):
            return 0.0
        status = status_in(error)
        if error.code() in _REFUSALS:
            while self._waiting:
                delivery = self._waiting.popleft()
                if not delivery.answer.done():
                    delivery.answer.set_exception(BlockRefused(status))
        return retry_delay_in(status) or 0.0


def _cause(error: Exception) -> str:
    return error.code().name if isinstance(error, grpc.aio.AioRpcError) else str(error)
