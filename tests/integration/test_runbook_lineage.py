"""What the runbook asks of lineage, on real gRPC."""
# ruff: noqa: N802 - the names are the contract's

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from aftershock.v1 import lineage_service_pb2 as pb
from aftershock.v1.lineage_pb2 import AffectedModel, EventKind, TimelineEvent
from aftershock.v1.lineage_service_pb2 import (
    GetBlastRadiusRequest,
    GetBlastRadiusResponse,
    ListedEvent,
    ListEventsRequest,
    ListEventsResponse,
)
from aftershock.v1.lineage_service_pb2_grpc import (
    LineageServiceServicer,
    LineageServiceStub,
    add_LineageServiceServicer_to_server,
)
from services.runbook.adapters.grpc_lineage import GrpcLineage
from services.runbook.domain.errors import LineageUnavailable
from tests.unit.services.aggregator.served import serving as real_aggregator
from tests.unit.services.runbook.builders import MODEL
from tests.valkey import ValkeyServer

SINCE = datetime(2026, 10, 20, tzinfo=UTC)
_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class KnownGraph(LineageServiceServicer):
    """Answers as told."""

    models: list[str] = field(default_factory=list)
    untold: int = 0
    failure: grpc.StatusCode | None = None
    asked: list[GetBlastRadiusRequest] = field(default_factory=list)
    events: int = 0
    listed: list[ListEventsRequest] = field(default_factory=list)

    async def GetBlastRadius(
        self, request: GetBlastRadiusRequest, context: _Context
    ) -> GetBlastRadiusResponse:
        self.asked.append(request)
        if self.failure is not None:
            await context.abort(self.failure, "no such node")
        models = [AffectedModel(model=model) for model in self.models]
        return GetBlastRadiusResponse(models=models, model_count=len(models) + self.untold)

    async def ListEvents(self, request: ListEventsRequest, context: _Context) -> ListEventsResponse:
        self.listed.append(request)
        return ListEventsResponse(events=[ListedEvent()] * self.events)


@pytest.fixture
def graph() -> KnownGraph:
    return KnownGraph()  # type: ignore[abstract]


@pytest.fixture
async def channel(graph: KnownGraph) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    add_LineageServiceServicer_to_server(graph, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await server.stop(None)


@pytest.mark.parametrize(
    ("models", "untold", "downstream"),
    [([MODEL], 0, 0), ([MODEL, "models/a", "models/b"], 0, 2), ([], 0, 0), ([MODEL], 30, 30)],
)
async def test_the_model_itself_is_not_downstream(
    channel: grpc.aio.Channel, graph: KnownGraph, models: list[str], untold: int, downstream: int
) -> None:
    graph.models, graph.untold = models, untold
    assert await GrpcLineage(channel, ()).downstream(MODEL) == downstream
    assert list(graph.asked[0].nodes) == ["model:ads_ctr"]


async def test_features_are_asked_about_as_the_model_has_them(
    channel: grpc.aio.Channel, graph: KnownGraph
) -> None:
    graph.models = [MODEL, "models/a"]
    assert await GrpcLineage(channel, ()).downstream(MODEL, ["age", "city"]) == 1
    (asked,) = graph.asked
    assert (list(asked.nodes), asked.model) == (["feature:age", "feature:city"], MODEL)


async def test_features_that_do_not_feed_the_model_are_felt_wherever_it_is(
    channel: grpc.aio.Channel, graph: KnownGraph
) -> None:
    assert await GrpcLineage(channel, ()).downstream(MODEL, ["age"]) == 0
    assert [list(asked.nodes) for asked in graph.asked] == [["feature:age"], ["model:ads_ctr"]]


async def test_a_model_that_lineage_does_not_know_may_have_any_number(
    channel: grpc.aio.Channel, graph: KnownGraph
) -> None:
    graph.failure = grpc.StatusCode.NOT_FOUND
    with pytest.raises(LineageUnavailable, match="NOT_FOUND: no such node"):
        await GrpcLineage(channel, ()).downstream(MODEL)


async def test_an_aggregator_that_is_away() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nowhere:
        with pytest.raises(LineageUnavailable, match="UNAVAILABLE"):
            await GrpcLineage(nowhere, ()).downstream(MODEL)
        with pytest.raises(LineageUnavailable, match="UNAVAILABLE"):
            await GrpcLineage(nowhere, ()).findings(MODEL, SINCE)
        with pytest.raises(LineageUnavailable, match="UNAVAILABLE"):
            await GrpcLineage(nowhere, ()).told(SINCE)
        with pytest.raises(LineageUnavailable, match="UNAVAILABLE"):
            await GrpcLineage(nowhere, ()).fed("dataset:ads:clicks")


async def test_the_real_aggregators_lineage(valkey: ValkeyServer) -> None:
    ads = pb.RegisterModelRequest(
        request_id="ads",
        model=MODEL,
        features=["user_embedding"],
        feeds=[pb.OutputFeed(output="score", feature="ads_score")],
    )
    feeds = [
        pb.RegisterModelRequest(request_id=name, model=f"models/{name}", features=["ads_score"])
        for name in ("feed", "search")
    ]
    async with (
        real_aggregator(valkey.url) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = LineageServiceStub(channel)
        for request in (ads, *feeds):
            await stub.RegisterModel(request, timeout=10)
        lineage = GrpcLineage(channel, ())
        assert await lineage.downstream(MODEL) == 2
        assert await lineage.downstream(MODEL, ["user_embedding"]) == 2
        assert await lineage.downstream(MODEL, ["user_embedding", "unheard_of"]) == 2
        assert await lineage.downstream("models/feed") == 0
        assert await lineage.downstream("models/feed", ["user_embedding"]) == 0
        assert await lineage.downstream("models/feed", ["ads_score"]) == 0
        with pytest.raises(LineageUnavailable, match="NOT_FOUND"):
            await lineage.downstream("models/nobody")
        with pytest.raises(LineageUnavailable, match="NOT_FOUND"):
            await lineage.downstream("models/nobody", ["user_embedding"])
        made = pb.FeatureSources(feature="user_embedding", sources=["dataset:ads:clicks"])
        told = pb.RegisterFeaturesRequest(request_id="sources", features=[made])
        await stub.RegisterFeatures(told, timeout=10)
        assert await lineage.findings(MODEL, SINCE) == ()
        event = TimelineEvent(
            event_id="audits/A-1/20",
            node="dataset:ads:clicks",
            kind=EventKind.EVENT_KIND_AUDIT_FINDING,
            summary="label '20' could hijack models",
            details_json='{"audit": "audits/A-1", "label": "20", "unheard": 1}',
        )
        event.time.GetCurrentTime()
        await stub.RecordEvent(pb.RecordEventRequest(event=event), timeout=10)
        assert [found.label for found in await lineage.findings(MODEL, SINCE)] == ["20"]
        assert len(await lineage.findings("models/feed", SINCE)) == 1
        assert [found.node for found in await lineage.told(SINCE)] == ["dataset:ads:clicks"]
        assert await lineage.told(event.time.ToDatetime(UTC) + timedelta(seconds=1)) == []
        assert set(await lineage.fed("dataset:ads:clicks")) == {
            MODEL,
            "models/feed",
            "models/search",
        }
        assert await lineage.fed("dataset:nobody:knows") == []
        end = TimelineEvent(
            event_id="audits/A-2:end",
            node="dataset:ads:clicks",
            kind=EventKind.EVENT_KIND_AUDIT,
            summary="audits/A-2 found nothing",
            details_json='{"audit": "audits/A-2", "cleared": [{"label": "20"}]}',
        )
        end.time.FromDatetime(event.time.ToDatetime(UTC) + timedelta(seconds=1))
        await stub.RecordEvent(pb.RecordEventRequest(event=end), timeout=10)
        assert await lineage.findings(MODEL, SINCE) == ()
        assert [each.audit for each in await lineage.told(SINCE)] == ["audits/A-2", "audits/A-1"]


async def test_findings_are_asked_for_upstream_of_the_model(
    channel: grpc.aio.Channel, graph: KnownGraph
) -> None:
    graph.events = 3
    assert len(await GrpcLineage(channel, ()).findings(MODEL, SINCE)) == 3
    (request,) = graph.listed
    assert list(request.nodes) == ["model:ads_ctr"]
    assert request.depth == 6
    assert list(request.kinds) == [
        EventKind.EVENT_KIND_AUDIT_FINDING,
        EventKind.EVENT_KIND_AUDIT,
    ]
    assert request.start_time.ToDatetime(UTC) == SINCE
