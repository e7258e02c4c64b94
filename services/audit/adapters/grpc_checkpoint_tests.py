"""Tests of checkpoints by the attribution service."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from aftershock.v1.attribution_service_pb2 import (
    ComputeSaliencyRequest,
    InsertionOutcome,
    TestInsertionRequest,
)
from aftershock.v1.attribution_service_pb2_grpc import AttributionServiceStub
from services.audit.adapters.arrow_parts import parts_of
from services.audit.adapters.grpc_partner_errors import Asked, partner_error
from services.audit.domain.errors import PartnerRefused, PartnerUnavailable
from services.audit.domain.parameters import InsertionParameters, SaliencyParameters
from services.audit.domain.report import Insertion

_MOST_IDS = 100
"""That one request takes."""
_MOST_BYTES = 32 * 1024 * 1024
"""Of examples or maps in one message; attribution takes twice that with all else."""
_SHORTEST_CALL = 0.1
_BACKOFF = wait_random_exponential(multiplier=0.2, max=10.0)
_Answer = TypeVar("_Answer")


class GrpcCheckpointTests:
    """CheckpointTests over a channel to attribution, which is to retry nothing by itself.

    While attribution is away or busy, it is asked again, for `patience` seconds a test.
    """

    def __init__(
        self, attribution: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...], patience: float
    ) -> None:
        self._attribution = AttributionServiceStub(attribution)
        self._metadata = metadata
        self._patience = patience

    async def insertions(
        self, wanted: InsertionParameters, ids: Sequence[int], examples: bytes
    ) -> Mapping[int, Insertion]:
        """Return what appending each id to a list of the examples does."""
        if len(examples) > _MOST_BYTES:
            raise PartnerRefused(
                f"{wanted.example_count} examples take {len(examples) >> 20} MiB, and "
                f"{_MOST_BYTES >> 20} are the most: ask for fewer",
                field="parameters.insertion.example_count",
            )
        deadline = self._deadline()
        found: dict[int, Insertion] = {}
        for start in range(0, len(ids), _MOST_IDS):
            request = TestInsertionRequest(
                checkpoint=wanted.checkpoint,
                feature=wanted.feature,
                ids=ids[start : start + _MOST_IDS],
                arrow_streams=[examples],
                skip_unknown_ids=True,
            )
            ask = partial(self._attribution.TestInsertion, request)
            answer = await self._answered(ask, deadline, Asked("insertion", wanted.checkpoint))
            found |= {outcome.id: _insertion(outcome) for outcome in answer.outcomes}
        return found

    async def saliency(
        self, checkpoint: str, wanted: SaliencyParameters, examples: bytes
    ) -> NDArray[np.float32]:
        """Return the Grad-CAM maps of the examples, [N, height, width]."""
        most_rows = _MOST_BYTES // (4 * wanted.height * wanted.width)
        if not most_rows:
            raise PartnerRefused(
                f"a map of {wanted.height} x {wanted.width} is larger than a message may be: ask "
                "for a smaller one",
                field="parameters.saliency.height",
            )
        deadline, maps = self._deadline(), []
        asked = Asked("saliency", checkpoint, checkpoint == wanted.clean_checkpoint)
        for part in await asyncio.to_thread(parts_of, examples, most_rows, _MOST_BYTES):
            request = ComputeSaliencyRequest(
                checkpoint=checkpoint,
                layer=wanted.layer,
                after_activation=wanted.is_after_activation,
                target_class=wanted.target_class,
                arrow_stream=part,
                height=wanted.height,
                width=wanted.width,
            )
            ask = partial(self._attribution.ComputeSaliency, request)
            answer = await self._answered(ask, deadline, asked)
            maps.append(np.frombuffer(answer.maps.data, "<f4"))
        return np.concatenate(maps).reshape(-1, wanted.height, wanted.width)

    def _deadline(self) -> float:
        return time.monotonic() + self._patience

    async def _answered(
        self, ask: Callable[..., Awaitable[_Answer]], deadline: float, asked: Asked
    ) -> _Answer:
        """Return an answer, asked for again while attribution cannot give it."""

        async def once() -> _Answer:
            seconds = max(_SHORTEST_CALL, deadline - time.monotonic())
            try:
                return await ask(timeout=seconds, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                raise partner_error(asked, error) from error

        attempts = AsyncRetrying(
            retry=retry_if_exception_type(PartnerUnavailable),
            stop=lambda state: time.monotonic() + state.upcoming_sleep > deadline,
            wait=_pause,
            reraise=True,
        )
        return await attempts(once)


def _pause(state: RetryCallState) -> float:
    """Return how long to wait: as long as attribution says, and longer each time."""
    error = state.outcome.exception() if state.outcome else None
    told = error.retry_after if isinstance(error, PartnerUnavailable) else None
    return max(told or 0.0, _BACKOFF(state))


def _insertion(outcome: InsertionOutcome) -> Insertion:
    return Insertion(**{field.name: getattr(outcome, field.name) for field in fields(Insertion)})
