"""Tests of checkpoints by the attribution service."""

from collections.abc import Sequence

import grpc
import numpy as np
from numpy.typing import NDArray

from aftershock.v1.attribution_service_pb2 import (
    ComputeSaliencyRequest,
    InsertionOutcome,
    TestInsertionRequest,
)
from aftershock.v1.attribution_service_pb2_grpc import AttributionServiceStub
from services.audit.domain.errors import PartnerFailed
from services.audit.domain.parameters import SaliencyParameters
from services.audit.domain.report import Insertion

_SECONDS = 300.0
_MOST_IDS = 100
"""That one request takes."""


class GrpcCheckpointTests:
    """CheckpointTests over a channel to attribution."""

    def __init__(
        self, attribution: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]
    ) -> None:
        self._attribution = AttributionServiceStub(attribution)
        self._metadata = metadata

    async def insertions(
        self, checkpoint: str, feature: str, ids: Sequence[int], examples: bytes
    ) -> Sequence[Insertion]:
        """Return what appending each id to a list of the examples does."""
        found: list[Insertion] = []
        for start in range(0, len(ids), _MOST_IDS):
            request = TestInsertionRequest(
                checkpoint=checkpoint,
                feature=feature,
                ids=ids[start : start + _MOST_IDS],
                arrow_streams=[examples],
            )
            try:
                answer = await self._attribution.TestInsertion(
                    request, timeout=_SECONDS, metadata=self._metadata
                )
            except grpc.aio.AioRpcError as error:
                raise _failed("insertion", checkpoint, error) from error
            found.extend(_insertion(outcome) for outcome in answer.outcomes)
        return found

    async def saliency(
        self, checkpoint: str, wanted: SaliencyParameters, examples: bytes
    ) -> NDArray[np.float32]:
        """Return the Grad-CAM maps of the examples, [N, height, width]."""
        request = ComputeSaliencyRequest(
            checkpoint=checkpoint,
            layer=wanted.layer,
            after_activation=wanted.is_after_activation,
            arrow_stream=examples,
            height=wanted.height,
            width=wanted.width,
        )
        try:
            answer = await self._attribution.ComputeSaliency(
                request, timeout=_SECONDS, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            raise _failed("saliency", checkpoint, error) from error
        return np.frombuffer(answer.maps.data, "<f4").reshape(tuple(answer.maps.shape))


def _insertion(outcome: InsertionOutcome) -> Insertion:
    return Insertion(
        example_count=outcome.example_count,
        skipped_count=outcome.skipped_count,
        flipped_up=outcome.flipped_up,
        flipped_down=outcome.flipped_down,
        mean_prediction=outcome.mean_prediction,
        inserted_mean_prediction=outcome.inserted_mean_prediction,
        mean_logit_change_below=outcome.mean_logit_change_below,
        mean_logit_change_above=outcome.mean_logit_change_above,
    )


def _failed(what: str, checkpoint: str, error: grpc.aio.AioRpcError) -> PartnerFailed:
    return PartnerFailed(
        f"the {what} test of {checkpoint}: attribution says {error.code().name}: {error.details()}",
        field=f"parameters.{what}",
    )
