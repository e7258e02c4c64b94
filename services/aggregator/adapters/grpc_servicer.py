"""The aggregator over gRPC."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceServicer
from aftershock.v1.shift_pb2 import ControlSelection as ControlSelectionMessage
from services.aggregator.adapters import outgoing
from services.aggregator.adapters.grpc_errors import ERRORS
from services.aggregator.adapters.incoming import (
    block_of,
    checkpoint_of,
    model_of,
    populations_of,
    rank_by_of,
    report_of,
    rules_of,
)
from services.aggregator.adapters.ingest_room import IngestRoom
from services.aggregator.adapters.metrics import BLOCKS
from services.aggregator.adapters.outgoing_profiles import profile_message
from services.aggregator.browse import GetGfi, GetWindowSample, ListModels, ListWindows
from services.aggregator.choose_sample_size import ChooseSampleSize
from services.aggregator.compare import Compare
from services.aggregator.describe import Describe
from services.aggregator.domain.block import Block
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.window import Window, parse_window_name
from services.aggregator.find import Find
from services.aggregator.ingest import Ingest
from services.aggregator.register import Register
from services.aggregator.report_outcomes import ReportOutcomes
from services.aggregator.set_rules import SetRules
from services.aggregator.watch import Watch
from services.chassis.errors import DependencyUnavailable, is_expected, status_of
from services.chassis.interceptors.validation import check

_log = logging.getLogger(__name__)
_PAGE_SIZE = 100
_TOP_K = 30
_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class AggregatorServicer(AggregatorServiceServicer):
    """Answers AggregatorService's calls by the use cases."""

    register: Register
    find: Find
    ingest: Ingest
    report_outcomes: ReportOutcomes
    list_models: ListModels
    set_rules: SetRules
    list_windows: ListWindows
    get_gfi: GetGfi
    describe: Describe
    compare: Compare
    choose_sample_size: ChooseSampleSize
    get_window_sample: GetWindowSample
    watch: Watch
    room: IngestRoom
    selection: ControlSelection
    """The control that is chosen when a caller does not care."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Once set, watchers are sent elsewhere."""

    async def IngestLfi(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.IngestLfiRequest], _: _Context
    ) -> AsyncIterator[pb.IngestLfiResponse]:
        """Register checkpoints and answer each block once it is stored."""
        async for request in request_iterator:
            if request.HasField("block"):
                yield await self._answer(request)
            else:
                check(request)
                await self.register(checkpoint_of(request.checkpoint))

    async def ReportOutcomes(  # noqa: N802 - the contract's name
        self, request: pb.ReportOutcomesRequest, _: _Context
    ) -> pb.ReportOutcomesResponse:
        """Add expected and observed events to their window."""
        reported = await self.report_outcomes(report_of(request))
        window = outgoing.window_message(reported.window)
        return pb.ReportOutcomesResponse(window=window, duplicate=reported.duplicate)

    async def ListModels(  # noqa: N802 - the contract's name
        self, request: pb.ListModelsRequest, _: _Context
    ) -> pb.ListModelsResponse:
        """Page through all models."""
        size = request.page_size or _PAGE_SIZE
        overviews, token = await self.list_models(size, request.page_token)
        models = (
            outgoing.model_message(overview.state, overview.checkpoint, overview.latest_window)
            for overview in overviews
        )
        return pb.ListModelsResponse(models=models, next_page_token=token)

    async def SetModelRules(  # noqa: N802 - the contract's name
        self, request: pb.SetModelRulesRequest, _: _Context
    ) -> pb.SetModelRulesResponse:
        """Give a model rules of its own."""
        await self.set_rules(model_of(request.model), rules_of(request.rules))
        return pb.SetModelRulesResponse(rules=request.rules)

    async def ListWindows(  # noqa: N802 - the contract's name
        self, request: pb.ListWindowsRequest, _: _Context
    ) -> pb.ListWindowsResponse:
        """Page through a model's windows."""
        size = request.page_size or _PAGE_SIZE
        model = model_of(request.parent)
        windows, token = await self.list_windows(model, size, request.page_token)
        return pb.ListWindowsResponse(
            windows=map(outgoing.window_message, windows), next_page_token=token
        )

    async def GetGfi(  # noqa: N802 - the contract's name
        self, request: pb.GetGfiRequest, _: _Context
    ) -> pb.GetGfiResponse:
        """Rank one window's features."""
        window, importances = await self.get_gfi(request.window)
        return pb.GetGfiResponse(
            window=outgoing.window_message(window),
            importances=map(outgoing.importance_message, importances),
        )

    async def GetFeatureProfile(  # noqa: N802 - the contract's name
        self, request: pb.GetFeatureProfileRequest, _: _Context
    ) -> pb.GetFeatureProfileResponse:
        """Describe one feature's values."""
        window = await self.find(request.window)
        description = await self.describe(window, request.feature)
        return pb.GetFeatureProfileResponse(
            window=outgoing.window_message(window), profile=profile_message(description)
        )

    async def CompareWindows(  # noqa: N802 - the contract's name
        self, request: pb.CompareWindowsRequest, _: _Context
    ) -> pb.CompareWindowsResponse:
        """Rank the shifts between two windows."""
        anomaly = await self.find(request.anomaly)
        control = await self._control(request)
        rank_by = rank_by_of(request.rank_by)
        comparison = await self.compare(anomaly, control, request.top_k or _TOP_K, rank_by)
        return pb.CompareWindowsResponse(comparison=outgoing.comparison_message(comparison))

    async def ChooseSampleSize(  # noqa: N802 - the contract's name
        self, request: pb.ChooseSampleSizeRequest, _: _Context
    ) -> pb.ChooseSampleSizeResponse:
        """Say how many examples a window needs."""
        chosen = await self.choose_sample_size(request.window, request.tolerance)
        return outgoing.sample_size_message(chosen)

    async def GetWindowSample(  # noqa: N802 - the contract's name
        self, request: pb.GetWindowSampleRequest, _: _Context
    ) -> pb.GetWindowSampleResponse:
        """Hand out the kept examples of a window."""
        model, start = parse_window_name(request.window)
        populations = populations_of(request.population)
        window, streams = await self.get_window_sample(model, start, populations)
        return pb.GetWindowSampleResponse(checkpoint_digest=window.digest, arrow_streams=streams)

    async def WatchShifts(  # noqa: N802 - the contract's name
        self, request: pb.WatchShiftsRequest, _: _Context
    ) -> AsyncIterator[pb.WatchShiftsResponse]:
        """Send events from the cursors on."""
        cursors = {model_of(model): cursor for model, cursor in request.cursors.items()}
        async for events in self.watch(model_of(request.model) or None, cursors):
            for published in events:
                event = outgoing.event_message(published.event, published.cursor)
                yield pb.WatchShiftsResponse(event=event)
            if self.stopping.is_set():
                raise DependencyUnavailable(
                    "the aggregator shuts down: watch another replica from the last cursor on"
                )

    async def _answer(self, request: pb.IngestLfiRequest) -> pb.IngestLfiResponse:
        block = request.block
        response = pb.IngestLfiResponse(block_id=block.block_id)
        try:
            with self.room.holding(request.ByteSize()):
                receipt = await self.ingest(model_of(block.model), lambda: _read(request))
        except Exception as error:
            BLOCKS.labels("refused").inc()
            if not is_expected(error, ERRORS):
                _log.exception("unexpected error", extra={"model": block.model})
            response.error.CopyFrom(status_of(error, ERRORS))
        else:
            BLOCKS.labels("duplicate" if receipt.duplicate else "stored").inc()
            response.receipt.window = receipt.window
            response.receipt.duplicate = receipt.duplicate
        return response

    async def _control(self, request: pb.CompareWindowsRequest) -> Window | ControlSelection:
        if request.HasField("control_window"):
            return await self.find(request.control_window)
        if not request.control_selection:
            return self.selection
        name = ControlSelectionMessage.Name(request.control_selection)
        return ControlSelection[name.removeprefix("CONTROL_SELECTION_")]


def _read(request: pb.IngestLfiRequest) -> Block:
    check(request)
    return block_of(request.block)
