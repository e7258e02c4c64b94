"""What nobody should send to lineage: it is refused with the place at fault, or works, once."""

import asyncio
import itertools
import os
import signal
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from aftershock.v1 import lineage_pb2 as lineage
from aftershock.v1 import lineage_service_pb2 as pb
from services.aggregator.adapters.redis_client import connect
from tests.integration.test_aggregator_openlineage import JOB, RUN_A, Served, at, encode, served
from tests.unit.services.aggregator.adapters.openlineage_world import (
    WAREHOUSE,
    Lifecycle,
    as_json,
    dataset_event,
    lifecycle,
)
from tests.unit.services.aggregator.served import TIMEOUT
from tests.valkey import ValkeyServer

NODES = [f"feature:f{n}" for n in range(2)]
STAMPS = [
    Timestamp(seconds=10**15),
    Timestamp(seconds=-62135596801),
    Timestamp(seconds=-62135596800),
    Timestamp(seconds=253402300799),
    Timestamp(nanos=-1),
    Timestamp(nanos=10**9),
]


@pytest.fixture
async def aggregator(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(valkey, tmp_path) as replica:
        edge = lineage.LineageEdge(source=NODES[0], target=NODES[1])
        request = pb.RegisterLineageRequest(request_id="first", provenance="me", edges=[edge])
        await replica.stub.RegisterLineage(request, timeout=TIMEOUT)
        yield replica


async def refused(call: Any) -> tuple[grpc.StatusCode, list[str]]:
    """Return the status of a call and the fields at fault."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    fields: list[str] = []
    for key, value in raised.value.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                bad = BadRequest()
                if detail.Unpack(bad):
                    fields = [violation.field for violation in bad.field_violations]
    return raised.value.code(), fields


def _asked_at(stamp: Timestamp) -> Iterator[tuple[str, Any, str]]:
    """Yield a method, its request and the field that has the time, for each there is."""
    node, (source, target) = NODES[0], NODES
    shifted = pb.ShiftedNodes(nodes=NODES, time=stamp)
    edges = [
        lineage.LineageEdge(source=source, target=target, valid_from=stamp),
        lineage.LineageEdge(source=source, target=target, valid_until=stamp),
    ]
    event = lineage.TimelineEvent(event_id="e", node=node, kind=1, summary="x", time=stamp)  # type: ignore[arg-type]
    made = [pb.FeatureSources(feature="f0", sources=["job:a:b"])]
    bulk = {"request_id": "b", "provenance": "me"}
    yield "GetLineage", pb.GetLineageRequest(node=node, as_of=stamp), "as_of"
    yield "TracePropagation", pb.TracePropagationRequest(node=node, start_time=stamp), "start_time"
    yield "TracePropagation", pb.TracePropagationRequest(node=node, end_time=stamp), "end_time"
    yield "FindCommonCauses", pb.FindCommonCausesRequest(nodes=shifted), "nodes.time"
    yield "GetBlastRadius", pb.GetBlastRadiusRequest(nodes=[node], as_of=stamp), "as_of"
    yield "ListEvents", pb.ListEventsRequest(start_time=stamp), "start_time"
    yield "ListEvents", pb.ListEventsRequest(end_time=stamp), "end_time"
    yield "RegisterLineage", pb.RegisterLineageRequest(**bulk, time=stamp), "time"  # type: ignore[arg-type]
    for number, name in enumerate(("valid_from", "valid_until")):
        path = f"edges[{number}].{name}"
        told = [*[lineage.LineageEdge(source=source, target=target)] * number, edges[number]]
        yield "RegisterLineage", pb.RegisterLineageRequest(**bulk, edges=told), path  # type: ignore[arg-type]
    yield (
        "RegisterFeatures",
        pb.RegisterFeaturesRequest(request_id="f", features=made, valid_from=stamp),
        "valid_from",
    )
    yield (
        "RegisterModel",
        pb.RegisterModelRequest(request_id="m", model="models/m", valid_from=stamp),
        "valid_from",
    )
    yield "RecordEvent", pb.RecordEventRequest(event=event), "event.time"


@pytest.mark.parametrize("stamp", STAMPS, ids=lambda stamp: f"{stamp.seconds}.{stamp.nanos}")
async def test_times_that_no_clock_showed_are_refused_where_they_stand(
    aggregator: Served, stamp: Timestamp
) -> None:
    for method, request, field in _asked_at(stamp):
        call = getattr(aggregator.stub, method)(request, timeout=TIMEOUT)
        assert (method, *await refused(call)) == (
            method,
            grpc.StatusCode.INVALID_ARGUMENT,
            [field],
        )


async def test_nothing_is_told_of_a_time_that_is_far_ahead(aggregator: Served) -> None:
    ahead = Timestamp()
    ahead.FromDatetime(datetime.now(UTC) + timedelta(days=400))
    at_fault = {"RegisterLineage": "time", "RegisterFeatures": "valid_from"}
    for method, request, field in _asked_at(ahead):
        if at_fault.get(method) == field:
            call = getattr(aggregator.stub, method)(request, timeout=TIMEOUT)
            assert await refused(call) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_a_thousand_faults_are_a_status_that_arrives(aggregator: Served) -> None:
    bulk = pb.RegisterLineageRequest(request_id="many", provenance="me")
    for _ in range(1000):
        bulk.edges.add(target="feature:a")
    code, fields = await refused(aggregator.stub.RegisterLineage(bulk, timeout=TIMEOUT))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert fields[:2] == ["edges[0].source", "edges[1].source"]
    token = pb.ListEventsRequest(page_token="é" * 3000)
    code, fields = await refused(aggregator.stub.ListEvents(token, timeout=TIMEOUT))
    assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


async def test_who_follows_the_log_gets_past_what_it_cannot_read(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    request = pb.RegisterLineageRequest(request_id="old", provenance="me")
    request.edges.add(source="no node", target=NODES[0])
    payload = request.SerializeToString()
    async with connect(valkey.url) as client:
        fields: dict[Any, Any] = {"facts": payload, "crc32": zlib.crc32(payload)}
        await client.xadd("as:{:lineage}:log", fields)
    async with served(valkey, tmp_path) as replica:
        await replica.emit(encode(inputs={"raw": {}}))
        assert await replica.edges(JOB) == {(f"dataset:{WAREHOUSE}:raw", JOB)}


async def test_names_that_go_in_a_circle_are_one_circle(aggregator: Served) -> None:
    names = "abca"
    for minute, (before, after) in enumerate(itertools.pairwise(names)):
        renamed = dataset_event(after, lifecycle(Lifecycle.RENAME, before), time=at(minute))
        assert (await aggregator.post("lineage", as_json(renamed))).status_code == 201
    own = dataset_event("a", lifecycle(Lifecycle.RENAME, "a"), time=at(4))
    assert (await aggregator.post("lineage", as_json(own))).status_code == 201
    circle = {
        (f"dataset:{WAREHOUSE}:{before}", f"dataset:{WAREHOUSE}:{after}")
        for before, after in itertools.pairwise(names)
    }
    assert await aggregator.edges(f"dataset:{WAREHOUSE}:a") == circle
    request = pb.TracePropagationRequest(node=f"dataset:{WAREHOUSE}:a")
    told = await aggregator.stub.TracePropagation(request, timeout=TIMEOUT)
    assert [node.depth for node in told.nodes] == [0, 1, 2]


async def test_a_store_that_goes_away_in_a_batch_leaves_nothing_twice_or_half(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    batch = []
    for number in range(60):
        event = as_json(encode("COMPLETE", number, run=f"{RUN_A[:-3]}{number:03}"))
        event["job"]["name"] = f"job_{number}"
        event["outputs"] = [{"namespace": "n", "name": f"table_{number}"}]
        batch.append(event)
    async with served(valkey_server, tmp_path) as aggregator:
        sent = asyncio.create_task(aggregator.post("lineage/batch", batch))
        while not await aggregator.events("job:airflow:job_3"):
            assert not sent.done()
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            answer = await sent
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)
        assert answer.status_code in (429, 503)
        assert answer.headers["Retry-After"]
        again = await aggregator.post("lineage/batch", batch)
        assert (again.status_code, again.json()["events"]) == (201, 60)
        assert 0 < again.json()["duplicates"] < 60
        for number in (0, 3, 30, 59):
            job = f"job:airflow:job_{number}"
            assert await aggregator.events(job) == [("PIPELINE_RUN", job, "run completed")]
            assert await aggregator.edges(job) == {(job, f"dataset:n:table_{number}")}
