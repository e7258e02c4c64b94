"""Previews by the aggregator's sample and attribution's joint ablation."""

from collections.abc import Callable, Sequence
from datetime import UTC
from functools import partial

import grpc

from aftershock.v1.aggregator_service_pb2 import (
    GetWindowSampleRequest,
    GetWindowSampleResponse,
    ListWindowsRequest,
)
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceStub
from aftershock.v1.attribution_service_pb2 import (
    ListCheckpointsRequest,
    MaskedIds,
    PreviewMitigationRequest,
)
from aftershock.v1.attribution_service_pb2_grpc import AttributionServiceStub
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.example_pb2 import Population
from aftershock.v1.window_pb2 import WindowState
from services.runbook.adapters.grpc_evidence_messages import window_from
from services.runbook.domain.errors import PreviewUnavailable
from services.runbook.domain.evidence import Window
from services.runbook.domain.preview import JointAblation
from services.runbook.domain.rollback import RegisteredCheckpoint
from services.runbook.domain.suspect import SuspectLabel

_SECONDS = 30.0
_MOST_STREAMS = 64
"""That one request takes."""
_MOST_WINDOWS = 48
"""Looked at for one whose outcomes are known."""


class GrpcPreviewer:
    """Fetches a window's sample and passes it on; keeps nothing."""

    def __init__(
        self,
        aggregator: grpc.aio.Channel,
        attribution: grpc.aio.Channel,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        self._aggregator = AggregatorServiceStub(aggregator)
        self._attribution = AttributionServiceStub(attribution)
        self._metadata = metadata

    async def newest(self, model: str) -> Window:
        """Return the model's newest closed window whose outcomes are known."""
        request = ListWindowsRequest(parent=model, page_size=_MOST_WINDOWS)
        try:
            found = await self._aggregator.ListWindows(
                request, timeout=_SECONDS, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            raise _unavailable("the aggregator", error) from error
        for window in found.windows:
            if window.state == WindowState.WINDOW_STATE_CLOSED and window.HasField("calibration"):
                return window_from(window)
        raise PreviewUnavailable(f"no outcomes are known of {model}'s last windows")

    async def ablate(self, window: str, sets: Sequence[Sequence[str]]) -> Sequence[JointAblation]:
        """Return mean predictions over the window's sample with each set ablated together."""
        sample = await self._sample(window)
        checkpoint = await self._served(window, sample)
        streams = _spread(sample.arrow_streams)
        # One after the other: attribution takes a batch's memory for each.
        return [
            await self._preview(
                PreviewMitigationRequest(
                    checkpoint=checkpoint, features=features, arrow_streams=streams
                )
            )
            for features in sets
        ]

    async def mask(self, window: str, labels: Sequence[SuspectLabel]) -> JointAblation:
        """Return mean predictions over the window's sample as things are and without these ids."""
        sample = await self._sample(window)
        features = dict.fromkeys(label.feature for label in labels)
        return await self._preview(
            PreviewMitigationRequest(
                checkpoint=await self._served(window, sample),
                masks=[
                    MaskedIds(feature=f, ids=[int(e.label) for e in labels if e.feature == f])
                    for f in features
                ],
                arrow_streams=_spread(sample.arrow_streams),
            )
        )

    async def replace(self, window: str, checkpoint: RegisteredCheckpoint) -> JointAblation:
        """Return mean predictions over the window's sample with another checkpoint served."""
        sample = await self._sample(window)
        replacement = await self._checkpoint(
            window,
            partial(_is_registered, checkpoint),
            f"attribution does not hold version {checkpoint.version}: load it there, and the next "
            "proposal has a preview",
        )
        return await self._preview(
            PreviewMitigationRequest(
                checkpoint=await self._served(window, sample),
                replacement=replacement,
                arrow_streams=_spread(sample.arrow_streams),
            )
        )

    async def _preview(self, request: PreviewMitigationRequest) -> JointAblation:
        try:
            answer = await self._attribution.PreviewMitigation(
                request, timeout=_SECONDS, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            raise _unavailable("attribution", error) from error
        return JointAblation(
            mean_prediction=answer.mean_prediction,
            mitigated_mean_prediction=answer.mitigated_mean_prediction,
            ratio_standard_error=answer.ratio_standard_error,
            example_count=answer.example_count,
            checkpoint_digest=answer.checkpoint_digest,
        )

    async def _sample(self, window: str) -> GetWindowSampleResponse:
        """Return kept examples: displayed ones, whose outcomes make up calibration, if any are."""
        try:
            return await self._sample_of(window, Population.POPULATION_DISPLAYED)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise _unavailable("the aggregator", error) from error
        try:
            return await self._sample_of(window, Population.POPULATION_CONSIDERED)
        except grpc.aio.AioRpcError as error:
            raise _unavailable("the aggregator", error) from error

    async def _sample_of(
        self, window: str, population: Population.ValueType
    ) -> GetWindowSampleResponse:
        request = GetWindowSampleRequest(window=window, population=population)
        sample = await self._aggregator.GetWindowSample(
            request, timeout=_SECONDS, metadata=self._metadata
        )
        if not sample.arrow_streams:
            raise PreviewUnavailable("the aggregator kept no examples of the window")
        return sample

    async def _served(self, window: str, sample: GetWindowSampleResponse) -> str:
        """Return the name of the checkpoint that scored the window: the newest may be another."""
        digest = sample.checkpoint_digest
        return await self._checkpoint(
            window,
            lambda held: held.digest == digest,
            "attribution no longer holds the window's checkpoint",
        )

    async def _checkpoint(
        self, window: str, wanted: Callable[[Checkpoint], bool], otherwise: str
    ) -> str:
        """Return the name of the model's checkpoint that is wanted."""
        model = window.partition("/windows/")[0]
        token = ""
        while True:
            try:
                page = await self._attribution.ListCheckpoints(
                    ListCheckpointsRequest(page_token=token),
                    timeout=_SECONDS,
                    metadata=self._metadata,
                )
            except grpc.aio.AioRpcError as error:
                raise _unavailable("attribution", error) from error
            for checkpoint in page.checkpoints:
                if checkpoint.name.startswith(f"{model}/") and wanted(checkpoint):
                    return checkpoint.name
            token = page.next_page_token
            if not token:
                raise PreviewUnavailable(otherwise)


def _is_registered(registered: RegisteredCheckpoint, held: Checkpoint) -> bool:
    """Whether attribution's checkpoint is the registry's: by digest, or by what it has seen."""
    if registered.digest:
        return held.digest == registered.digest
    until = held.trained_until.ToDatetime(UTC) if held.HasField("trained_until") else None
    return until is not None and until == registered.trained_until


def _spread(streams: Sequence[bytes]) -> Sequence[bytes]:
    step = -(-len(streams) // _MOST_STREAMS)
    return streams[::step]


def _unavailable(service: str, error: grpc.aio.AioRpcError) -> PreviewUnavailable:
    return PreviewUnavailable(f"{service} says {error.code().name}: {error.details()}")
