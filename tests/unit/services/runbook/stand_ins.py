"""An aggregator and an attribution service that answer as recorded, on real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.json_format import MessageToJson
from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import aggregator_service_pb2 as aggregator_pb
from aftershock.v1 import attribution_service_pb2 as attribution_pb
from aftershock.v1 import lineage_service_pb2 as lineage_pb
from aftershock.v1 import shift_pb2, window_pb2
from aftershock.v1.aggregator_service_pb2_grpc import (
    AggregatorServiceServicer,
    add_AggregatorServiceServicer_to_server,
)
from aftershock.v1.attribution_service_pb2_grpc import (
    AttributionServiceServicer,
    add_AttributionServiceServicer_to_server,
)
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.example_pb2 import Population
from aftershock.v1.importance_pb2 import FeatureImportance
from aftershock.v1.lineage_pb2 import AffectedModel, EventKind, FindingDetails, TimelineEvent
from aftershock.v1.lineage_service_pb2_grpc import (
    LineageServiceServicer,
    add_LineageServiceServicer_to_server,
)
from services.runbook.adapters.grpc_messages import incident_message
from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.incident import opened
from tests.unit.services.runbook.builders import BROKEN, DIGEST, MODEL, WALL_TIME, comparison

# ruff: noqa: N802 - the names are the contract's
_Context = grpc.aio.ServicerContext[Any, Any]
OLDER_UNTIL = datetime(1998, 3, 13, tzinfo=UTC)
"""What attribution's older checkpoint has seen."""


def event_message(event: ShiftEvent) -> shift_pb2.ShiftEvent:
    """Return the event as the aggregator sends it."""
    compared = event.comparison or replace(comparison(0), anomaly=event.window)
    evidence = opened("INC-1", replace(event, comparison=compared), WALL_TIME)
    sent = incident_message(evidence).comparison
    return shift_pb2.ShiftEvent(
        cursor=event.cursor,
        model=event.model,
        window=sent.anomaly,
        comparison=sent if event.comparison else None,
    )


@dataclass
class Aggregator(AggregatorServiceServicer):
    """Publishes the events it is given; keeps a sample unless told otherwise."""

    events: list[shift_pb2.ShiftEvent] = field(default_factory=list)
    watches: list[dict[str, str]] = field(default_factory=list)
    latest: dict[str, datetime] = field(default_factory=dict)
    keeps: set[Population.ValueType] = field(
        default_factory=lambda: {
            Population.POPULATION_CONSIDERED,
            Population.POPULATION_DISPLAYED,
        }
    )
    """Populations of which it has a sample."""
    sampled: list[Population.ValueType] = field(default_factory=list)
    gfis: dict[str, float] = field(default_factory=lambda: {"user_embedding": 0.0, "genres": 0.3})
    """Of every window."""
    forgotten: set[str] = field(default_factory=set)
    """Windows that it does not know."""
    streams: int = 100
    breaks_after: int | None = None
    """End the stream after that many events, once."""
    _published: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def publish(self, *events: shift_pb2.ShiftEvent) -> None:
        """Add events to the streams under way."""
        async with self._published:
            self.events += events
            self._published.notify_all()

    async def WatchShifts(
        self, request: aggregator_pb.WatchShiftsRequest, context: _Context
    ) -> AsyncIterator[aggregator_pb.WatchShiftsResponse]:
        self.watches.append(dict(request.cursors))
        position = 0
        sent = 0
        while True:
            async with self._published:
                await self._published.wait_for(lambda: len(self.events) > position)  # noqa: B023
            event = self.events[position]
            position += 1
            if self._consumed(event, request.cursors, position):
                continue
            yield aggregator_pb.WatchShiftsResponse(event=event)
            sent += 1
            if self.breaks_after == sent:
                self.breaks_after = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the aggregator restarts")

    def _consumed(
        self, event: shift_pb2.ShiftEvent, cursors: Mapping[str, str], following: int
    ) -> bool:
        """Whether the model's cursor stands at the event or after it."""
        cursor = cursors.get(event.model)
        return cursor == event.cursor or any(
            later.model == event.model and later.cursor == cursor
            for later in self.events[following:]
        )

    async def ListWindows(
        self, request: aggregator_pb.ListWindowsRequest, context: _Context
    ) -> aggregator_pb.ListWindowsResponse:
        """The windows of the events, newest first, after one without outcomes and an open one."""
        judged = [event.window for event in reversed(self.events) if event.model == request.parent]
        unknown = window_pb2.Window(state=window_pb2.WINDOW_STATE_CLOSED)
        still_open = window_pb2.Window(state=window_pb2.WINDOW_STATE_OPEN)
        return aggregator_pb.ListWindowsResponse(windows=[still_open, unknown, *judged])

    async def GetWindowSample(
        self, request: aggregator_pb.GetWindowSampleRequest, context: _Context
    ) -> aggregator_pb.GetWindowSampleResponse:
        self.sampled.append(request.population)
        if request.population not in self.keeps:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no sample of {request.window}")
        return aggregator_pb.GetWindowSampleResponse(
            checkpoint_digest=DIGEST, arrow_streams=[b"examples"] * self.streams
        )

    async def GetGfi(
        self, request: aggregator_pb.GetGfiRequest, context: _Context
    ) -> aggregator_pb.GetGfiResponse:
        if request.window in self.forgotten:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no window {request.window}")
        importances = [FeatureImportance(feature=f, gfi=gfi) for f, gfi in self.gfis.items()]
        return aggregator_pb.GetGfiResponse(importances=importances)

    async def ListModels(
        self, request: aggregator_pb.ListModelsRequest, context: _Context
    ) -> aggregator_pb.ListModelsResponse:
        if not request.page_token:
            other = aggregator_pb.ModelSummary(name="models/other")
            return aggregator_pb.ListModelsResponse(models=[other], next_page_token="more")
        summaries = []
        for model, time in self.latest.items():
            newest = Timestamp()
            newest.FromDatetime(time)
            summaries.append(aggregator_pb.ModelSummary(name=model, latest_event_time=newest))
        return aggregator_pb.ListModelsResponse(models=summaries)


@dataclass
class Attribution(AttributionServiceServicer):
    """Predicts that any mitigation mends everything."""

    ratio: float = 1 / BROKEN
    digest: str = DIGEST
    previews: list[attribution_pb.PreviewMitigationRequest] = field(default_factory=list)

    async def ListCheckpoints(
        self, request: attribution_pb.ListCheckpointsRequest, context: _Context
    ) -> attribution_pb.ListCheckpointsResponse:
        if not request.page_token:
            newer = Checkpoint(name=f"{MODEL}/checkpoints/newer", digest="b" * 64)
            return attribution_pb.ListCheckpointsResponse(
                checkpoints=[newer], next_page_token="more"
            )
        older = Checkpoint(name=f"{MODEL}/checkpoints/older", digest=self.digest)
        older.trained_until.FromDatetime(OLDER_UNTIL)
        return attribution_pb.ListCheckpointsResponse(checkpoints=[older])

    async def PreviewMitigation(
        self, request: attribution_pb.PreviewMitigationRequest, context: _Context
    ) -> attribution_pb.PreviewMitigationResponse:
        self.previews.append(request)
        return attribution_pb.PreviewMitigationResponse(
            example_count=2000,
            mean_prediction=0.4,
            mitigated_mean_prediction=0.4 * self.ratio,
            ratio_standard_error=0.01,
            checkpoint_digest=self.digest,
        )


@dataclass
class Audited(LineageServiceServicer):
    """Audits found an id in what feeds some models; each has a data set of its own."""

    concerns: Callable[[str], bool]
    """By model id."""
    models: Sequence[str] = ()
    """Ids of those that are told of to who asks for all."""

    async def ListEvents(
        self, request: lineage_pb.ListEventsRequest, context: _Context
    ) -> lineage_pb.ListEventsResponse:
        models = [node.removeprefix("model:") for node in request.nodes] or self.models
        told = [_finding_event(model) for model in models if self.concerns(model)]
        return lineage_pb.ListEventsResponse(
            events=[lineage_pb.ListedEvent(event=event) for event in told]
        )

    async def GetBlastRadius(
        self, request: lineage_pb.GetBlastRadiusRequest, context: _Context
    ) -> lineage_pb.GetBlastRadiusResponse:
        models = [node.partition(":")[2] for node in request.nodes]
        affected = [AffectedModel(model=f"models/{model}") for model in models]
        return lineage_pb.GetBlastRadiusResponse(models=affected, model_count=len(affected))


def _finding_event(model: str) -> TimelineEvent:
    details = FindingDetails(audit="audits/A-1", label="4711", feature="watched", severity=1.0)
    event = TimelineEvent(
        event_id=f"audits/A-1/{model}",
        node=f"dataset:{model}",
        kind=EventKind.EVENT_KIND_AUDIT_FINDING,
        details_json=MessageToJson(details, preserving_proto_field_name=True),
    )
    event.time.GetCurrentTime()
    return event


def audited(concerns: Callable[[str], bool], *models: str) -> Audited:
    """Return a lineage in which audits found an id in what feeds some models."""
    return Audited(concerns, models)  # type: ignore[abstract]


def an_aggregator(*events: ShiftEvent) -> Aggregator:
    """Return an aggregator that has published these events."""
    return Aggregator([event_message(event) for event in events])  # type: ignore[abstract]


def an_attribution() -> Attribution:
    """Return an attribution service."""
    return Attribution()  # type: ignore[abstract]


@asynccontextmanager
async def serving(
    *servicers: Aggregator | Attribution | Audited, port: int = 0
) -> AsyncIterator[str]:
    """Serve the stand-ins on loopback and give their address."""
    server = grpc.aio.server()
    for servicer in servicers:
        if isinstance(servicer, Aggregator):
            add_AggregatorServiceServicer_to_server(servicer, server)
        elif isinstance(servicer, Audited):
            add_LineageServiceServicer_to_server(servicer, server)
        else:
            add_AttributionServiceServicer_to_server(servicer, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(None)
