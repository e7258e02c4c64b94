"""What is told of lineage and events, and how a person sees it, sync and async."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aftershock import Client, aio
from aftershock._names import EVENTS
from aftershock.v1.error_reason_pb2 import ErrorReason
from aftershock.v1.lineage_pb2 import EventKind, LineageEdge, TimelineEvent
from aftershock.v1.lineage_service_pb2 import (
    FindCommonCausesResponse,
    ListedEvent,
    RegisterLineageRequest,
)
from services.chassis.errors import InvalidRequest
from tests.unit.clients.aftershock.cli.running import cells, run, run_json
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import incident
from tests.unit.clients.aftershock.recording import refusal, stamp

TWO = datetime(2026, 11, 20, 2, tzinfo=UTC)
EDGES = RegisterLineageRequest(
    provenance="ads-team",
    edges=[LineageEdge(source="job:airflow:encode", target="feature:user_embedding")],
)
FILE = "provenance: lineage\npipelines:\n  - job: airflow:encode\n    feeds: [user_embedding]\n"


pytestmark = pytest.mark.usefixtures("with_incident")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lineage.yaml"
    path.write_text(FILE)
    return path


def listed(name: str, minutes: int, distance: int, node: str = "job:airflow:encode") -> ListedEvent:
    event = TimelineEvent(
        event_id=name,
        node=node,
        kind=EventKind.EVENT_KIND_FAILED_RUN,
        summary=f"run {name} failed",
        actor="airflow",
    )
    event.time.FromDatetime(TWO + timedelta(minutes=minutes))
    return ListedEvent(event=event, distance=distance)


def test_lineage_counts_once(platform: Platform, client: Client) -> None:
    given = RegisterLineageRequest()
    given.CopyFrom(EDGES)
    given.time.FromDatetime(TWO)
    assert client.register_lineage(given)
    assert not client.register_lineage(given)
    given.time.FromDatetime(TWO + timedelta(hours=1))
    assert client.register_lineage(given)
    assert [request.provenance for request in platform.lineage.requests] == ["ads-team"] * 3
    assert not given.request_id


def test_lineage_without_a_time_is_so_now(platform: Platform, client: Client) -> None:
    before = datetime.now(UTC)
    client.register_lineage(EDGES)
    (request,) = platform.lineage.requests
    assert before <= request.time.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)


def test_an_event_counts_once(platform: Platform, client: Client) -> None:
    def tell(**changes: Any) -> bool:
        given: dict[str, Any] = {"time": TWO, "actor": "ci", "details": {"commit": "a1"}} | changes
        return client.record_event("deploy", "model:ads_ctr", "version 7", **given)

    assert tell()
    assert not tell()
    assert tell(details={"commit": "b2"})
    assert tell(event_id="deploy-7")
    assert not tell(event_id="deploy-7", actor="somebody else")
    event = platform.lineage.requests[0].event
    assert (event.kind, event.time) == (EventKind.EVENT_KIND_DEPLOY, stamp(2026, 11, 20, 2))
    assert json.loads(event.details_json) == {"commit": "a1"}
    with pytest.raises(ValueError, match="choose one of deploy, pipeline-run"):
        client.record_event("holiday", "model:ads_ctr", "off")
    with pytest.raises(ValueError, match="time zone"):
        tell(time=datetime(2026, 11, 20))


def test_events_come_by_pages(platform: Platform, client: Client) -> None:
    platform.lineage.events = [listed(str(number), -number, 1) for number in range(5)]
    found = client.events(["model:ads_ctr"], depth=3, start=TWO, kinds=["failed-run"])
    assert [each.event.event_id for each in found] == ["0", "1", "2", "3", "4"]
    assert len(client.events(limit=3)) == 3
    first = platform.lineage.requests[0]
    assert (list(first.nodes), first.depth) == (["model:ads_ctr"], 3)
    assert list(first.kinds) == [EventKind.EVENT_KIND_FAILED_RUN]
    assert first.HasField("start_time")
    assert not first.HasField("end_time")


async def test_the_async_client_tells_the_same(
    platform: Platform, asynchronous: aio.Client
) -> None:
    platform.lineage.events = [listed("1", -5, 1)]
    assert await asynchronous.register_lineage(EDGES)
    assert await asynchronous.record_event("deploy", "model:ads_ctr", "version 7", time=TWO)
    assert not await asynchronous.record_event("deploy", "model:ads_ctr", "version 7", time=TWO)
    assert await asynchronous.events(end=TWO) == platform.lineage.events


def test_a_file_is_checked_without_a_service(platform: Platform, file: Path) -> None:
    said = "lineage tells of 1 node and 1 edge."
    assert said in run("lineage", "check", str(file)).stdout
    assert run_json("lineage", "check", str(file))["lineage"]["edges"][0]["target"]
    file.write_text("provenance: me\npipelines: 3")
    assert (
        "lineage.yaml:2: pipelines: is no list" in run("lineage", "check", str(file), code=1).stdout
    )
    assert platform.lineage.requests == []


def test_a_file_is_applied(platform: Platform, file: Path) -> None:
    assert "lineage tells of" in run("lineage", "apply", str(file)).stdout
    assert run_json("lineage", "apply", str(file))["lineage"]["provenance"] == "lineage"
    sent = platform.lineage.requests[0]
    assert [(edge.source, edge.target) for edge in sent.edges] == [
        ("job:airflow:encode", "feature:user_embedding")
    ]
    assert sent.complete
    run("lineage", "apply", "/nowhere.yaml", code=2)


def test_what_the_service_refuses_is_told_by_line(platform: Platform, file: Path) -> None:
    error = InvalidRequest([("edges[0].target", "is not printable")])
    platform.lineage.errors = [refusal(error, {})]
    output = run("lineage", "apply", str(file), code=3).output
    assert "lineage.yaml:4: is not printable" in output
    assert ErrorReason.Name(ErrorReason.ERROR_REASON_INVALID_REQUEST) not in output


def test_the_timeline_around_an_incident_begins_with_the_nearest_upstream(
    platform: Platform,
) -> None:
    platform.lineage.events = [
        listed("late", 40, 1),
        listed("far", -1, 3, "job:airflow:collect"),
        listed("early", -20, 1),
        listed("model", -90, 0, "model:ads_ctr"),
    ]
    shifted = ["model:ads_ctr", "feature:user_embedding[v3]"]
    platform.lineage.causes = FindCommonCausesResponse(shifted=shifted)
    output = run("timeline", "ads_ctr", "--around", "INC-1").stdout
    order = [output.index(f"run {name} failed") for name in ("model", "early", "late", "far")]
    assert order == sorted(order)
    assert cells(output, "run early")[:6] == [
        "2026-11-20 01:40",
        "-20 min",
        "1",
        "job:airflow:encode",
        "failed run",
        "run early failed",
    ]
    assert cells(output, "run model")[1] == "-1 h 30 min"
    request = platform.lineage.requests[1]
    assert list(request.nodes) == shifted
    assert (request.depth, request.start_time, request.end_time) == (
        6,
        stamp(2026, 11, 19, 2),
        stamp(2026, 11, 20, 4),
    )
    assert len(run_json("timeline", "ads_ctr", "--around", "INC-1", "--limit", "2")["events"]) == 2
    cut = run("timeline", "ads_ctr", "--around", "INC-1", "--limit", "3").stdout
    assert "1 more: raise --limit." in cut


def test_nearest_is_nearest_to_what_shifted_in_other_models_too(platform: Platform) -> None:
    together = ["model:ads_ctr", "feature:a", "model:feed_rank"]
    platform.lineage.causes = FindCommonCausesResponse(shifted=together)
    run("timeline", "ads_ctr", "--around", "INC-1")
    causes, events = platform.lineage.requests
    assert (causes.window, causes.with_others) == (incident().comparison.anomaly.name, True)
    assert list(events.nodes) == together
    refused = refusal(InvalidRequest([("window", "no feature shifted")]), {})
    platform.lineage.errors = [refused]
    run("timeline", "ads_ctr", "--around", "INC-1")
    assert list(platform.lineage.requests[-1].nodes) == [
        "model:ads_ctr",
        "feature:user_embedding[v3]",
    ]


def test_runs_that_did_not_fail_come_last(platform: Platform) -> None:
    ran = listed("ran", 0, 1)
    ran.event.kind = EventKind.EVENT_KIND_PIPELINE_RUN
    platform.lineage.events = [ran, listed("far", -60, 4)]
    output = run("timeline", "ads_ctr", "--around", "INC-1").stdout
    assert output.index("run far failed") < output.index("run ran failed")


def test_the_timeline_of_a_model_begins_with_the_latest(platform: Platform) -> None:
    platform.lineage.events = [listed("2", 5, 3), listed("1", 0, 1)]
    output = run("timeline", "ads_ctr", "--before", "2", "--kind", "failed-run").stdout
    assert output.index("run 2") < output.index("run 1")
    assert "from the break" not in output
    (request,) = platform.lineage.requests
    assert list(request.nodes) == ["model:ads_ctr"]
    length = request.end_time.ToDatetime() - request.start_time.ToDatetime()
    assert length == timedelta(hours=2)
    assert list(request.kinds) == [EventKind.EVENT_KIND_FAILED_RUN]


def test_an_empty_timeline_says_so() -> None:
    told = run("timeline", "ads_crt").stdout
    assert told.startswith(
        "Nothing that anybody told of happened then to model:ads_crt or upstream"
    )
    assert "'aftershock status' shows the models" in told
    run("timeline", "ads_ctr", "--kind", "holiday", code=2)


def test_every_kind_of_event_has_a_name() -> None:
    assert set(EVENTS.values()) == set(EventKind.values()) - {EventKind.EVENT_KIND_UNSPECIFIED}
