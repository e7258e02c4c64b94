"""One ComputeLfi stream: batches in, answers out, in order, several under way at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import Event
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import example_pb2
from services.attribution.adapters.arrow_examples import decode
from services.attribution.adapters.grpc_errors import batch_status
from services.attribution.adapters.grpc_messages import batch_of, block_message
from services.attribution.adapters.inference import Inference
from services.attribution.adapters.metrics import BATCHES, PAIRS
from services.attribution.domain.block import Batch, LfiBlock
from services.attribution.domain.example import Examples
from services.attribution.domain.sketch import Sketcher, ValueCounts
from services.attribution.explain import Explain
from services.attribution.ports import LfiSink
from services.chassis.errors import InvalidRequest, Overloaded
from services.chassis.interceptors.validation import check

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class LfiStream:
    """What the options of a stream chose."""

    explain: Explain
    sink: LfiSink | None
    """Takes each block into windows; None: nothing does."""
    to_caller: bool
    """Whether the caller gets each block."""
    inference: Inference
    ended: Event = field(default_factory=Event)
    """Set once nobody waits for answers any more."""

    async def answer(self, request: pb.ComputeLfiRequest) -> pb.ComputeLfiResponse:
        """Return the answer to a batch; what is wrong with it is an answer too.

        Raises:
            InvalidRequest: the request is not a batch.
        """
        if request.WhichOneof("content") != "batch":
            raise InvalidRequest(
                [("options", "each request after the first carries a batch: open another stream")]
            )
        try:
            check(request)
            response = await self.attributed(request.batch)
        except Exception as error:
            status = batch_status(error)
            BATCHES.labels("overloaded" if isinstance(error, Overloaded) else "refused").inc()
            return pb.ComputeLfiResponse(batch_id=request.batch.batch_id, error=status)
        BATCHES.labels("attributed").inc()
        return response

    async def attributed(self, message: example_pb2.ExampleBatch) -> pb.ComputeLfiResponse:
        """Return the answer to a batch that the contract's rules have let through."""
        batch = batch_of(message)
        prepared, block_of = partial(self._prepared, batch), partial(self._block, batch)
        block = await self.inference.run(prepared, block_of)
        duplicate = (await self.sink.deliver(block)).duplicate if self.sink else False
        if self.to_caller:
            return pb.ComputeLfiResponse(
                batch_id=message.batch_id, block=block_message(block, with_examples=False)
            )
        receipt = pb.BatchReceipt(example_count=len(block.lfi.predictions), duplicate=duplicate)
        return pb.ComputeLfiResponse(batch_id=message.batch_id, receipt=receipt)

    def decoded(self, batch: Batch) -> "Decoded":
        """Return the batch's examples.

        Raises:
            SeenInTraining: the checkpoint has seen them.
            AttributionError: they do not fit the schema.
        """
        checkpoint = self.explain.ablator.checkpoint
        checkpoint.check_unseen(batch.event_time)
        examples = decode(batch.arrow_stream, checkpoint.schema, "batch.arrow_stream")
        return Decoded(examples, examples.present_counts())

    @cached_property
    def _sketcher(self) -> Sketcher:
        return Sketcher(self.explain.ablator.checkpoint.schema)

    def _prepared(self, batch: Batch) -> tuple["Decoded", ValueCounts]:
        decoded = self.decoded(batch)
        return decoded, self._sketcher(decoded.examples)

    def _block(self, batch: Batch, prepared: tuple["Decoded", ValueCounts]) -> LfiBlock:
        decoded, counts = prepared
        ablator = self.explain.ablator
        lfi = self.explain(decoded.examples, is_wanted=lambda: not self.ended.is_set())
        decoded.count_pairs(int(decoded.present.sum()), ablator.explanation.fallback_share)
        sketch = counts.sketch(lfi.predictions)
        return LfiBlock(batch, ablator.checkpoint, self.explain.method, lfi, sketch)


@dataclass(frozen=True)
class Decoded:
    """A batch that is ready to be attributed."""

    examples: Examples
    present: NDArray[np.int64]
    """Examples in which each feature is not at its baseline, [M]."""

    def count_pairs(self, ablated: int, fallback_share: float) -> None:
        """Count all as attributed; a class of features that falls back by its share of them."""
        total = self.examples.count * len(self.examples.schema.features)
        present = int(self.present.sum())
        fallback = round(ablated * fallback_share)
        PAIRS.labels("skipped").inc(total - present)
        PAIRS.labels("raced_out").inc(present - ablated)
        PAIRS.labels("fallback").inc(fallback)
        PAIRS.labels("delta").inc(ablated - fallback)


async def in_order(
    requests: AsyncIterator[_Request],
    answer: Callable[[_Request], Awaitable[_Answer]],
    most: int,
) -> AsyncGenerator[_Answer]:
    """Answer requests, at most `most` at a time, in the order in which they came."""
    under_way: deque[asyncio.Future[_Answer]] = deque()
    upcoming: asyncio.Future[_Request] | None = None
    more = True
    try:
        while more or under_way:
            if more and upcoming is None and len(under_way) < most:
                upcoming = asyncio.ensure_future(anext(requests))
            awaited = [future for future in (upcoming, *under_way) if future is not None]
            await asyncio.wait(awaited[:2], return_when=asyncio.FIRST_COMPLETED)
            if upcoming is not None and upcoming.done():
                try:
                    under_way.append(asyncio.ensure_future(answer(upcoming.result())))
                except StopAsyncIteration:
                    more = False
                upcoming = None
            while under_way and under_way[0].done():
                yield under_way.popleft().result()
    finally:
        for future in (upcoming, *under_way):
            if future is not None:
                future.cancel()
