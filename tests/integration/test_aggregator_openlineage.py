"""The real OpenLineage client, over real HTTP, into the lineage graph and the timeline."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from openlineage.client import OpenLineageClient, event_v2
from openlineage.client.transport.http import HttpConfig, HttpTransport

from aftershock.v1 import lineage_service_pb2 as pb
from aftershock.v1.lineage_pb2 import EventKind
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub
from services.chassis.tokens import Role, issue_token, new_key_pair
from tests.unit.services.aggregator.adapters.openlineage_world import (
    WAREHOUSE,
    Lifecycle,
    as_json,
    column_lineage,
    dataset_event,
    job_event,
    lifecycle,
    run_event,
    schema,
)
from tests.unit.services.aggregator.served import TIMEOUT, serving
from tests.valkey import ValkeyServer

if TYPE_CHECKING:
    from aftershock.v1.lineage_service_pb2_grpc import LineageServiceAsyncStub

JOB = "job:airflow:encode"
RAW = f"dataset:{WAREHOUSE}:raw"
OUT = f"dataset:{WAREHOUSE}:out"
FEATURE = "feature:user_embedding"
RUN_A, RUN_B, RUN_C = (f"01940000-0000-7000-8000-00000000000{n}" for n in "abc")


@dataclass(frozen=True)
class Served:
    """A replica of the aggregator."""

    url: str
    """Of its HTTP server."""
    stub: "LineageServiceAsyncStub"

    async def emit(self, *events: Any, **config: Any) -> None:
        """Send events by the real client."""
        plain = {"url": self.url, "timeout": 20, "retry": {"total": 0}}
        transport = HttpTransport(HttpConfig.from_dict(plain | config))
        client = OpenLineageClient(transport=transport)
        for event in events:
            await asyncio.to_thread(client.emit, event)

    async def edges(self, node: str, depth: int = 3) -> set[tuple[str, str]]:
        request = pb.GetLineageRequest(node=node, depth=depth)
        answer = await self.stub.GetLineage(request, timeout=TIMEOUT)
        return {(edge.source, edge.target) for edge in answer.edges}

    async def events(self, *nodes: str, depth: int = 0) -> list[tuple[str, str, str]]:
        request = pb.ListEventsRequest(nodes=nodes, depth=depth)
        answer = await self.stub.ListEvents(request, timeout=TIMEOUT)
        return [
            (EventKind.Name(e.event.kind)[11:], e.event.node, e.event.summary)
            for e in answer.events
        ]

    async def get(self, path: str, **query: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(f"{self.url}/api/v1/{path}", params=query)

    async def post(self, path: str, content: Any, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=30) as client:
            return await client.post(
                f"{self.url}/api/v1/{path}",
                content=json.dumps(content),
                headers={"Content-Type": "application/json"} | headers,
            )


@asynccontextmanager
async def served(valkey: ValkeyServer, folder: Path, **settings: Any) -> AsyncIterator[Served]:
    file = folder / "lineage.address"
    wanted = {"lineage_listen": "127.0.0.1:0", "lineage_address_file": file} | settings
    async with serving(valkey.url, **wanted) as address:
        while not file.exists():  # noqa: ASYNC110 - another task writes it
            await asyncio.sleep(0.01)
        async with grpc.aio.insecure_channel(address) as channel:
            yield Served(f"http://{file.read_text()}", LineageServiceStub(channel))


@pytest.fixture
async def aggregator(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(valkey, tmp_path) as replica:
        yield replica


def at(minutes: float) -> str:
    """A time of today: what is older than the retention is not kept."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    return (hour + timedelta(minutes=minutes)).isoformat()


def encode(state: str = "COMPLETE", minutes: float = 0, run: str = RUN_A, **more: Any) -> Any:
    return run_event(state, time=at(minutes), run=run, **more)


async def test_a_run_becomes_graph_and_events(aggregator: Served) -> None:
    outputs = {"out": schema(vector="float[]") | column_lineage({"vector": [("raw", "age", "")]})}
    inputs = {"raw": schema(age="int")}
    await aggregator.emit(
        encode("START", 0, inputs=inputs),
        encode("RUNNING", 1),
        encode("COMPLETE", 2, inputs=inputs, outputs=outputs),
    )
    age, vector = f"column:{WAREHOUSE}:raw:age", f"column:{WAREHOUSE}:out:vector"
    assert await aggregator.edges(RAW) == {
        (RAW, JOB),
        (JOB, OUT),
        (RAW, age),
        (OUT, vector),
        (age, vector),
    }
    assert await aggregator.events(JOB) == [
        ("PIPELINE_RUN", JOB, "run completed"),
        ("PIPELINE_RUN", JOB, "run started"),
    ]


async def test_an_event_that_is_sent_again_counts_once(aggregator: Served) -> None:
    event = as_json(encode("FAIL", error="out of memory"))
    first, second = [await aggregator.post("lineage", event) for _ in range(2)]
    assert (first.status_code, first.json()) == (201, {"events": 1, "duplicates": 0})
    assert (second.status_code, second.json()) == (201, {"events": 1, "duplicates": 1})
    assert await aggregator.events(JOB) == [("FAILED_RUN", JOB, "run failed: out of memory")]


async def test_what_fails_upstream_is_found_from_a_feature(aggregator: Served) -> None:
    event = as_json(encode("START", inputs={"raw": {}}, outputs={"out": {}}))
    event["outputs"][0] |= {"namespace": "aftershock", "name": "feature/user_embedding"}
    assert (await aggregator.post("lineage", event)).status_code == 201
    await aggregator.emit(
        dataset_event("raw", schema(age="int"), at(1)),
        dataset_event("raw", schema(age="float"), at(5)),
        encode("FAIL", 9, error="boom"),
    )
    assert await aggregator.events(FEATURE, depth=1) == [
        ("FAILED_RUN", JOB, "run failed: boom"),
        ("PIPELINE_RUN", JOB, "run started"),
    ]
    changed = ("SCHEMA_CHANGE", RAW, "columns changed: retyped age")
    assert changed in await aggregator.events(FEATURE, depth=2)


async def test_datasets_that_are_dropped_and_renamed(aggregator: Served) -> None:
    await aggregator.emit(
        encode("COMPLETE", 0, inputs={"raw": {}}, outputs={"out": {}}),
        dataset_event("newer", lifecycle(Lifecycle.RENAME, former="out"), at(5)),
        dataset_event("raw", lifecycle(Lifecycle.DROP), at(9)),
    )
    assert await aggregator.edges(JOB) == {(JOB, OUT), (OUT, f"dataset:{WAREHOUSE}:newer")}
    assert ("LIFECYCLE_CHANGE", RAW, "dropped") in await aggregator.events(RAW)


async def test_inputs_that_a_job_no_longer_reads_end(aggregator: Served) -> None:
    await aggregator.emit(
        encode("COMPLETE", 0, inputs={"raw": {}, "old": {}}, outputs={"out": {}}),
        encode("START", 10, run=RUN_B),
        encode("COMPLETE", 11, run=RUN_B, inputs={"raw": {}}),
    )
    assert await aggregator.edges(JOB) == {(RAW, JOB), (JOB, OUT)}
    event = as_json(job_event(["new"])) | {"eventTime": at(20)}
    assert (await aggregator.post("lineage", event)).status_code == 201
    assert await aggregator.edges(JOB) == {(f"dataset:{WAREHOUSE}:new", JOB), (JOB, OUT)}


async def test_a_compressed_event(aggregator: Served) -> None:
    await aggregator.emit(encode(inputs={"raw": {}}), compression="gzip")
    assert await aggregator.edges(JOB) == {(RAW, JOB)}


async def test_a_batch_is_recorded_whole_or_not_at_all(aggregator: Served) -> None:
    good, bad = as_json(encode(inputs={"raw": {}})), as_json(encode("FAIL", 1, run=RUN_B))
    bad["job"]["name"] = ""
    late = as_json(encode(minutes=60 * 24 * 2, run=RUN_C))
    refused = await aggregator.post("lineage/batch", [good, bad, 3, late])
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == [
        "[1].job.name",
        "[2]",
        "[3].eventTime",
    ]
    assert await aggregator.events(JOB) == []
    taken = await aggregator.post("lineage/batch", [good, as_json(encode("FAIL", 1, run=RUN_B))])
    assert (taken.status_code, taken.json()) == (201, {"events": 2, "duplicates": 0})
    assert len(await aggregator.events(JOB)) == 2


async def test_a_batch_is_bounded(aggregator: Served) -> None:
    refused = await aggregator.post("lineage/batch", [as_json(encode())] * 1001)
    assert refused.status_code == 400
    assert "at most 1000 events" in refused.json()["detail"]
    assert await aggregator.events(JOB) == []


async def test_what_is_no_event_is_refused(aggregator: Served) -> None:
    bad = as_json(encode(inputs={"raw": {}}))
    del bad["inputs"][0]["namespace"]
    refused = await aggregator.post("lineage", bad)
    assert (refused.status_code, refused.json()["errors"]) == (
        400,
        [{"field": "inputs[0].namespace", "detail": "Field required"}],
    )
    assert (await aggregator.post("lineage/batch", bad)).status_code == 400
    async with httpx.AsyncClient() as client:
        text = await client.post(f"{aggregator.url}/api/v1/lineage", content=b"{nonsense")
    assert text.status_code == 400
    assert text.json()["detail"].startswith("the body is not JSON")
    with pytest.raises(OSError, match="400"):
        await aggregator.emit(
            event_v2.RunEvent(
                eventTime=at(0),
                eventType=event_v2.RunState.START,
                run=event_v2.Run(RUN_A),
                job=event_v2.Job("airflow", ""),
            )
        )


async def test_half_a_character_is_replaced(aggregator: Served) -> None:
    event = as_json(encode("FAIL", error="no \ud800 rows, \U0001f600"))
    assert (await aggregator.post("lineage", event)).status_code == 201
    assert await aggregator.events(JOB) == [
        ("FAILED_RUN", JOB, "run failed: no ? rows, \U0001f600")
    ]


async def test_events_take_the_role_of_a_pipeline(valkey: ValkeyServer, tmp_path: Path) -> None:
    private, public = new_key_pair()
    key = tmp_path / "public.pem"
    key.write_bytes(public)
    hour = timedelta(hours=1)
    async with served(valkey, tmp_path, token_public_key=key) as aggregator:

        def auth(*roles: Role) -> dict[str, str]:
            return {"type": "api_key", "apiKey": issue_token(private, "airflow", roles, hour)}

        await aggregator.emit(encode(inputs={"raw": {}}), auth=auth(Role.PIPELINE))
        for refused, auths in (("403", auth(Role.READER)), ("401", {"type": "none.at.all"})):
            config = {"auth": auths} if refused == "403" else {}
            with pytest.raises(OSError, match=refused):
                await aggregator.emit(encode(inputs={"raw": {}}), **config)
        bearer = f"Bearer {auth(Role.READER)['apiKey']}"
        async with httpx.AsyncClient(headers={"Authorization": bearer}) as reader:
            found = await reader.get(
                f"{aggregator.url}/api/v1/lineage", params={"nodeId": "job:airflow:encode"}
            )
    assert found.status_code == 200


async def test_a_store_that_hangs_is_told_with_when_to_come_back(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    async with served(valkey_server, tmp_path, lineage_requests_at_once=2) as aggregator:
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            posts = [
                asyncio.create_task(aggregator.post("lineage", as_json(encode(run=run))))
                for run in (RUN_A, RUN_B, RUN_C)
            ]
            answers = await asyncio.gather(*posts)
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)
    assert {answer.status_code for answer in answers} == {429}
    assert all(answer.headers["Retry-After"] == "1" for answer in answers)
    told = sorted(answer.json()["detail"] for answer in answers)
    assert told[0].startswith("the window store has not answered")
    assert told[-1].startswith("too many requests at once")


async def test_marquez_clients_see_jobs_and_datasets(aggregator: Served) -> None:
    event = as_json(encode("COMPLETE", inputs={"raw": schema(age="int")}, outputs={"out": {}}))
    serve = as_json(encode("COMPLETE", 1, run=RUN_B, inputs={"out": {}}))
    serve["job"]["name"] = "serve"
    serve["outputs"] = [{"namespace": "aftershock", "name": "feature/user_embedding"}]
    for each in (event, serve):
        assert (await aggregator.post("lineage", each)).status_code == 201
    answer = await aggregator.get("lineage", nodeId=f"dataset:{WAREHOUSE}:out", depth="2")
    assert answer.status_code == 200
    graph = {node["id"]: node for node in answer.json()["graph"]}
    feature = "dataset:aftershock:feature/user_embedding"
    assert {name: node["type"] for name, node in graph.items()} == {
        RAW: "DATASET",
        JOB: "JOB",
        OUT: "DATASET",
        "job:airflow:serve": "JOB",
        feature: "DATASET",
    }
    assert graph[JOB]["inEdges"] == [{"origin": RAW, "destination": JOB}]
    assert graph[JOB]["outEdges"] == [{"origin": JOB, "destination": OUT}]
    assert graph[OUT]["outEdges"] == [{"origin": OUT, "destination": "job:airflow:serve"}]
    assert graph[JOB]["data"]["inputs"] == [{"namespace": WAREHOUSE, "name": "raw"}]
    assert graph[RAW]["data"]["fields"] == [{"name": "age", "type": "int", "tags": []}]
    near = await aggregator.get("lineage", nodeId="job:airflow:serve", depth="0")
    assert [node["id"] for node in near.json()["graph"]] == ["job:airflow:serve"]


async def test_marquez_clients_see_columns(aggregator: Served) -> None:
    made = column_lineage({"vector": [("raw", "age", "DIRECT/AGGREGATION")]})
    sold = column_lineage({"price": [("out", "vector", "")]})
    await aggregator.emit(
        encode(inputs={"raw": schema(age="int")}, outputs={"out": schema(vector="f") | made}),
        encode(minutes=1, run=RUN_B, outputs={"shop": sold}),
    )
    vector = f"datasetField:{WAREHOUSE}:out:vector"
    age, price = f"datasetField:{WAREHOUSE}:raw:age", f"datasetField:{WAREHOUSE}:shop:price"
    answer = await aggregator.get("column-lineage", nodeId=vector)
    graph = {node["id"]: node for node in answer.json()["graph"]}
    assert graph.keys() == {age, vector}
    assert graph[vector]["data"] == {
        "namespace": WAREHOUSE,
        "dataset": "out",
        "field": "vector",
        "fieldType": "f",
        "inputFields": [
            {
                "namespace": WAREHOUSE,
                "dataset": "raw",
                "field": "age",
                "transformationType": "AGGREGATION",
                "transformationDescription": "",
            }
        ],
    }
    assert graph[vector]["inEdges"] == [{"origin": vector, "destination": age}]
    for node in (OUT, "job:airflow:encode"):
        answer = await aggregator.get("column-lineage", nodeId=node, withDownstream="true")
        assert {node["id"] for node in answer.json()["graph"]} == {age, vector, price}


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({}, 400, "nodeId"),
        ({"nodeId": "run:7"}, 400, "nodeId"),
        ({"nodeId": "job:airflow:nobody"}, 404, "node"),
        ({"nodeId": "job:airflow:encode", "depth": "far"}, 400, "depth"),
    ],
)
async def test_what_marquez_clients_ask_wrong(
    aggregator: Served, query: dict[str, str], status: int, field: str
) -> None:
    answer = await aggregator.get("lineage", **query)
    assert answer.status_code == status
    assert [error["field"] for error in answer.json()["errors"]] == [field]
