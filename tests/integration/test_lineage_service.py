"""Lineage over real gRPC and a real Valkey, held against windows that really broke."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import grpc
import pytest

from aftershock.v1 import lineage_pb2 as lineage
from aftershock.v1 import lineage_service_pb2 as pb
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceStub
from aftershock.v1.lineage_pb2 import Feeling, MoveOrder, PropagationRole, StrengthBasis
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub
from tests.unit.services.aggregator.served import (
    TIMEOUT,
    Client,
    refused,
    serving,
    store_hour,
    timestamp,
    watched,
)
from tests.unit.services.aggregator.worlds import NOON, hours
from tests.valkey import ValkeyServer

if TYPE_CHECKING:
    from aftershock.v1.lineage_service_pb2_grpc import LineageServiceAsyncStub

Lineage: TypeAlias = "LineageServiceAsyncStub"
BROKEN = (1.0, 0.5, 3.0)
LONG_AGO = NOON - timedelta(days=7)
JOB, F2, SCORE = "job:airflow:encode", "feature:f2", "output:ads_ctr/score"
ADS, ADS_SCORE, FEED = "model:ads_ctr", "feature:ads_score", "model:feed_rank"


@dataclass(frozen=True)
class Stubs:
    windows: Client
    lineage: Lineage


@asynccontextmanager
async def replica(valkey: ValkeyServer) -> AsyncIterator[Stubs]:
    async with serving(valkey.url) as address, grpc.aio.insecure_channel(address) as channel:
        yield Stubs(AggregatorServiceStub(channel), LineageServiceStub(channel))


@pytest.fixture
async def stubs(valkey: ValkeyServer) -> AsyncIterator[Stubs]:
    async with replica(valkey) as stubs:
        yield stubs


async def register(stub: Lineage) -> None:
    features = pb.RegisterFeaturesRequest(
        request_id="features",
        features=[
            pb.FeatureSources(feature="f2", sources=[JOB, "dataset:lake:users"], owner="ada"),
            pb.FeatureSources(feature="f1", sources=["dataset:lake:users"]),
        ],
        valid_from=timestamp(LONG_AGO),
    )
    assert not (await stub.RegisterFeatures(features, timeout=TIMEOUT)).duplicate
    assert (await stub.RegisterFeatures(features, timeout=TIMEOUT)).duplicate
    ads = pb.RegisterModelRequest(
        request_id="ads",
        model="models/ads_ctr",
        feeds=[pb.OutputFeed(output="score", feature="ads_score")],
        valid_from=timestamp(LONG_AGO),
    )
    feed = pb.RegisterModelRequest(
        request_id="feed",
        model="models/feed_rank",
        features=["ads_score"],
        valid_from=timestamp(LONG_AGO),
    )
    for request in (ads, feed):
        assert not (await stub.RegisterModel(request, timeout=TIMEOUT)).duplicate


async def healthy_world(stubs: Stubs) -> None:
    """Six healthy hours of ads_ctr."""
    await register(stubs.lineage)
    for number, start in enumerate(hours(6)):
        await store_hour(stubs.windows, start, number)
    await watched(stubs.windows, 6)


async def break_f2(stubs: Stubs) -> None:
    """An hour in which f2 breaks."""
    await store_hour(stubs.windows, NOON, 50, observed=600, scales=BROKEN)
    await watched(stubs.windows, 7)


async def broken_world(stubs: Stubs) -> None:
    """Six healthy hours of ads_ctr, and one in which f2 breaks."""
    await healthy_world(stubs)
    await break_f2(stubs)


async def trace(stub: Lineage, node: str) -> pb.TracePropagationResponse:
    request = pb.TracePropagationRequest(
        node=node,
        start_time=timestamp(NOON - timedelta(hours=3)),
        end_time=timestamp(NOON + timedelta(hours=3)),
    )
    return await stub.TracePropagation(request, timeout=TIMEOUT)


async def seen(stub: Lineage) -> None:
    """Wait until the windows have been looked at."""
    async with asyncio.timeout(TIMEOUT):
        while (await trace(stub, F2)).origin_shift <= 1:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


async def test_a_shift_is_traced_from_the_feature_that_broke_to_what_it_feeds(
    stubs: Stubs,
) -> None:
    await broken_world(stubs)
    await seen(stubs.lineage)
    told = await trace(stubs.lineage, F2)
    found = {node.node: node for node in told.nodes}
    assert list(found) == [F2, ADS, SCORE, ADS_SCORE, FEED]
    roles = [
        PropagationRole.Name(node.role).removeprefix("PROPAGATION_ROLE_") for node in told.nodes
    ]
    assert roles == ["ROOT", "VICTIM", "UNAFFECTED", "UNAFFECTED", "UNAFFECTED"]
    assert found[ADS].feeling == Feeling.FEELING_FELT
    assert found[ADS].move_order == MoveOrder.MOVE_ORDER_TOGETHER
    assert found[ADS].move_time == timestamp(NOON)
    assert found[FEED].feeling == Feeling.FEELING_NOT_OBSERVED
    assert list(found[FEED].paths[0].nodes) == [F2, ADS, SCORE, ADS_SCORE, FEED]
    assert found[FEED].expected_shift == pytest.approx(
        told.origin_shift * found[FEED].path_strength
    )


async def test_a_models_story_begins_with_the_feature_that_broke(stubs: Stubs) -> None:
    await broken_world(stubs)
    await seen(stubs.lineage)
    told = await trace(stubs.lineage, ADS)
    assert [(node.node, node.depth) for node in told.nodes[:2]] == [(F2, -1), (ADS, 0)]
    assert told.nodes[0].role == PropagationRole.PROPAGATION_ROLE_ROOT


async def test_edges_into_a_model_carry_the_measured_importance(stubs: Stubs) -> None:
    await broken_world(stubs)
    await seen(stubs.lineage)
    request = pb.GetLineageRequest(node=ADS, depth=1)
    shown = await stubs.lineage.GetLineage(request, timeout=TIMEOUT)
    strengths = {edge.source: edge for edge in shown.edges if edge.target == ADS}
    assert set(strengths) == {"feature:f0", "feature:f1", F2}
    assert {edge.strength_basis for edge in strengths.values()} == {
        StrengthBasis.STRENGTH_BASIS_MEASURED
    }
    assert strengths["feature:f0"].strength > strengths["feature:f1"].strength
    before = pb.GetLineageRequest(node=F2, as_of=timestamp(LONG_AGO - timedelta(hours=1)))
    assert len((await stubs.lineage.GetLineage(before, timeout=TIMEOUT)).nodes) == 1


async def test_the_cause_of_a_window_is_what_feeds_its_shifted_features_and_had_an_event(
    stubs: Stubs,
) -> None:
    await broken_world(stubs)
    await seen(stubs.lineage)
    event = lineage.TimelineEvent(
        event_id="run-1",
        node=JOB,
        kind=lineage.EventKind.EVENT_KIND_FAILED_RUN,
        time=timestamp(NOON - timedelta(minutes=13)),
        summary="failed",
    )
    await stubs.lineage.RecordEvent(pb.RecordEventRequest(event=event), timeout=TIMEOUT)
    shifted = pb.ShiftedNodes(nodes=[F2, ADS], time=timestamp(NOON + timedelta(hours=1)))
    found = await stubs.lineage.FindCommonCauses(
        pb.FindCommonCausesRequest(nodes=shifted), timeout=TIMEOUT
    )
    by_node = {cause.node: cause for cause in found.causes}
    assert [event.summary for event in by_node[JOB].events] == ["failed"]
    assert by_node[JOB].probability > by_node["dataset:lake:users"].probability
    assert set(by_node[JOB].covered) == {F2, ADS}
    total = found.coincidence_probability + sum(cause.probability for cause in found.causes)
    assert total == pytest.approx(1)
    window = pb.FindCommonCausesRequest(window="models/ads_ctr/windows/20261120T120000Z")
    of_window = await stubs.lineage.FindCommonCauses(window, timeout=TIMEOUT)
    assert F2 in of_window.shifted
    [group] = of_window.groups
    assert (group.node, list(group.overlooked)) == ("dataset:lake:users", ["feature:f1"])
    assert group.probability < 0.05


async def test_the_blast_radius_of_a_kill_switch_is_the_model_and_what_it_feeds(
    stubs: Stubs,
) -> None:
    await broken_world(stubs)
    await seen(stubs.lineage)
    request = pb.GetBlastRadiusRequest(nodes=[F2], model="models/ads_ctr")
    found = await stubs.lineage.GetBlastRadius(request, timeout=TIMEOUT)
    assert [affected.model for affected in found.models] == ["models/ads_ctr", "models/feed_rank"]
    assert found.models[0].features == [F2]
    assert found.model_count == 2
    assert found.models[0].expected_calibration_change > 0


async def test_a_downstream_owner_is_warned_and_resumes_where_she_was(stubs: Stubs) -> None:
    await broken_world(stubs)
    start = pb.WatchPropagationRequest(model="models/feed_rank", cursor="ads_ctr=0-0")
    call = stubs.lineage.WatchPropagation(start, timeout=TIMEOUT)
    warning = (await anext(aiter(call))).warning
    call.cancel()
    assert warning.model == "models/feed_rank"
    assert warning.feature == ADS_SCORE
    assert warning.path.nodes[-1] == FEED
    assert warning.feeling == Feeling.FEELING_NOT_OBSERVED
    assert warning.expected_shift == pytest.approx(warning.origin_shift * warning.path.strength)
    assert list(warning.roots) == [warning.path.nodes[0]]
    resumed = pb.WatchPropagationRequest(model="models/feed_rank", cursor=warning.cursor)
    again = stubs.lineage.WatchPropagation(resumed, timeout=2.5)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await anext(aiter(again))
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_watch_that_ends_before_its_first_warning_loses_none(stubs: Stubs) -> None:
    await healthy_world(stubs)
    start = pb.WatchPropagationRequest(model="models/feed_rank", send_start=True)
    call = stubs.lineage.WatchPropagation(start, timeout=TIMEOUT)
    began = await anext(aiter(call))
    call.cancel()
    assert not began.HasField("warning")
    await break_f2(stubs)
    resumed = pb.WatchPropagationRequest(model="models/feed_rank", cursor=began.cursor)
    again = stubs.lineage.WatchPropagation(resumed, timeout=TIMEOUT)
    warned = await anext(aiter(again))
    again.cancel()
    assert warned.warning.feature == ADS_SCORE
    assert warned.cursor == warned.warning.cursor != began.cursor


async def test_what_is_told_to_one_replica_is_known_to_another_and_after_a_restart(
    valkey: ValkeyServer,
) -> None:
    request = pb.GetLineageRequest(node=ADS_SCORE)
    async with replica(valkey) as first, replica(valkey) as second:
        await register(first.lineage)
        shown = [
            await some.lineage.GetLineage(request, timeout=TIMEOUT) for some in (first, second)
        ]
    async with replica(valkey) as third:
        shown.append(await third.lineage.GetLineage(request, timeout=TIMEOUT))
    assert shown[0] == shown[1] == shown[2]
    assert [(around.node.node, around.distance) for around in shown[0].nodes] == [
        (ADS_SCORE, 0),
        (FEED, 1),
        (SCORE, -1),
        (ADS, -2),
    ]


async def test_a_model_that_is_registered_anew_loses_what_it_no_longer_feeds(
    stubs: Stubs,
) -> None:
    await register(stubs.lineage)
    anew = pb.RegisterModelRequest(
        request_id="ads-2",
        model="models/ads_ctr",
        feeds=[pb.OutputFeed(output="score", feature="other_score")],
    )
    await stubs.lineage.RegisterModel(anew, timeout=TIMEOUT)
    request = pb.GetLineageRequest(
        node=SCORE, direction=pb.LineageDirection.LINEAGE_DIRECTION_DOWNSTREAM, depth=1
    )
    shown = await stubs.lineage.GetLineage(request, timeout=TIMEOUT)
    assert [around.node.node for around in shown.nodes] == [SCORE, "feature:other_score"]


async def test_what_is_wrong_is_said_with_its_field(stubs: Stubs) -> None:
    stub = stubs.lineage
    bulk = pb.RegisterLineageRequest(request_id="a", provenance="me")
    bulk.edges.add(source="feature:a", target="users")
    wrong = await refused(stub.RegisterLineage(bulk, timeout=TIMEOUT))
    assert (wrong.reason, wrong.fields) == ("INVALID_REQUEST", ["edges[0].target"])
    unknown = await refused(trace(stub, "feature:nobody"))
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "NODE_NOT_FOUND")
    await register(stub)
    backwards = pb.TracePropagationRequest(
        node=F2, start_time=timestamp(NOON), end_time=timestamp(NOON)
    )
    asked = await refused(stub.TracePropagation(backwards, timeout=TIMEOUT))
    assert (asked.reason, asked.fields) == ("INVALID_REQUEST", ["start_time"])
    watch = stub.WatchPropagation(
        pb.WatchPropagationRequest(model="models/feed_rank", cursor="x"), timeout=TIMEOUT
    )
    assert (await refused(anext(aiter(watch)))).fields == ["cursor"]
