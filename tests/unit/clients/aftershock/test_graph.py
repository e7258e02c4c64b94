"""What is asked of the lineage graph, and how a person sees it, sync and async."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from aftershock import Client, aio
from aftershock.v1 import lineage_pb2 as pb
from aftershock.v1 import lineage_service_pb2 as service
from tests.unit.clients.aftershock.cli.running import cells, run, run_json
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import incident
from tests.unit.clients.aftershock.recording import stamp

TWO = datetime(2026, 11, 20, 2, tzinfo=UTC)
ADS = pb.LineagePath(nodes=["feature:user_embedding", "model:ads_ctr"], strength=0.5)
FEED = [service.OutputFeed(output="score", feature="ads_score")]


pytestmark = pytest.mark.usefixtures("with_incident")


@pytest.fixture
def answers(platform: Platform) -> Platform:
    """A platform whose graph has one of everything."""
    lineage = platform.lineage
    lineage.surroundings = service.GetLineageResponse(
        nodes=[
            service.NodeAround(node=pb.LineageNode(node="model:ads_ctr")),
            service.NodeAround(node=pb.LineageNode(node="feature:user_embedding"), distance=-1),
        ],
        edges=[
            pb.LineageEdge(
                source="feature:user_embedding",
                target="model:ads_ctr",
                strength=0.5,
                strength_basis=pb.StrengthBasis.STRENGTH_BASIS_MEASURED,
                provenance="importances",
            )
        ],
        truncation=pb.Truncation(depth=True),
    )
    lineage.propagation = service.TracePropagationResponse(
        origin="feature:user_embedding",
        origin_shift=4.0,
        nodes=[
            pb.PropagationNode(
                node="feature:user_embedding",
                role=pb.PropagationRole.PROPAGATION_ROLE_ROOT,
                feeling=pb.Feeling.FEELING_FELT,
                observed_shift=4.0,
                move_time=stamp(2026, 11, 20, 2),
                expected_shift=4.0,
            ),
            pb.PropagationNode(
                node="model:ads_ctr",
                role=pb.PropagationRole.PROPAGATION_ROLE_UNAFFECTED,
                feeling=pb.Feeling.FEELING_NOT_OBSERVED,
                depth=1,
                expected_shift=2.0,
                paths=[ADS],
            ),
        ],
        start_time=stamp(2026, 11, 19, 2),
        end_time=stamp(2026, 11, 20, 2),
        truncation=pb.Truncation(fan_out=True),
    )
    event = pb.TimelineEvent(kind=pb.EventKind.EVENT_KIND_FAILED_RUN, summary="run 7 failed")
    event.time.FromDatetime(TWO)
    lineage.causes = service.FindCommonCausesResponse(
        causes=[
            pb.CommonCause(
                node="job:airflow:encode",
                probability=0.97,
                covered=["feature:a", "feature:b"],
                silent_count=3,
                depth=1,
                events=[event],
            )
        ],
        shifted=["feature:a", "feature:b"],
        coincidence_probability=0.01,
        groups=[
            pb.SuspectGroup(
                node="job:airflow:encode",
                probability=0.001,
                features=["feature:a", "feature:b", "feature:c"],
                overlooked=["feature:c"],
            )
        ],
    )
    lineage.radius = service.GetBlastRadiusResponse(
        models=[
            pb.AffectedModel(
                model="models/ads_ctr",
                expected_calibration_change=0.5,
                features=["feature:user_embedding"],
                path=ADS,
            )
        ],
        model_count=1,
        feature_count=2,
        node_count=4,
    )
    lineage.warnings = [
        pb.PropagationWarning(
            cursor=cursor,
            model="models/feed_rank",
            feature="feature:ads_score",
            path=ADS,
            roots=["job:airflow:encode"],
            expected_shift=0.16,
            feeling=pb.Feeling.FEELING_NOT_OBSERVED,
            event_time=stamp(2026, 11, 20, 2),
        )
        for cursor in ("1", "2")
    ]
    return platform


def test_features_and_models_are_told_once(platform: Platform, client: Client) -> None:
    sources = [service.FeatureSources(feature="a", sources=["job:airflow:encode"])]
    assert client.register_features(sources, since=TWO)
    assert not client.register_features(sources, since=TWO)
    assert client.register_features(sources, since=TWO + timedelta(hours=1))
    assert client.register_model("ads_ctr", features=["a"], feeds=FEED, owner="ada", since=TWO)
    assert not client.register_model("ads_ctr", features=["a"], feeds=FEED, owner="ada", since=TWO)
    told = platform.lineage.requests[-1]
    assert (told.model, list(told.features), told.owner) == ("models/ads_ctr", ["a"], "ada")
    with pytest.raises(ValueError, match="time zone"):
        client.register_model("ads_ctr", since=datetime(2026, 11, 20))


def test_questions_carry_what_was_asked(answers: Platform, client: Client) -> None:
    client.lineage("model:ads_ctr", depth=2, as_of=TWO)
    client.trace_propagation("feature:a", start=TWO - timedelta(hours=1), end=TWO, depth=4)
    client.common_causes(["feature:a"], time=TWO, lookback=timedelta(hours=2), limit=5)
    client.common_causes("models/ads_ctr/windows/20261120T020000Z")
    client.blast_radius(["feature:a"], within="ads_ctr")
    around, trace, causes, window, radius = answers.lineage.requests
    assert (around.node, around.depth, around.as_of) == ("model:ads_ctr", 2, stamp(2026, 11, 20, 2))
    assert (trace.depth, trace.start_time) == (4, stamp(2026, 11, 20, 1))
    assert list(causes.nodes.nodes) == ["feature:a"]
    assert (causes.event_lookback.seconds, causes.limit) == (7200, 5)
    assert window.window == "models/ads_ctr/windows/20261120T020000Z"
    assert (list(radius.nodes), radius.model) == (["feature:a"], "models/ads_ctr")


def test_a_watch_goes_on_after_the_last_warning(answers: Platform, client: Client) -> None:
    warnings = client.watch_propagation("feed_rank", least_expected_shift=0.1)
    assert [next(warnings).cursor for _ in range(2)] == ["1", "2"]
    first = answers.lineage.requests[0]
    assert (first.model, first.least_expected_shift) == ("models/feed_rank", 0.1)
    answers.lineage.warnings.append(pb.PropagationWarning(cursor="3"))
    assert next(warnings).cursor == "3"
    assert answers.lineage.requests[-1].cursor == "2"


def test_a_watch_that_breaks_before_its_first_warning_goes_on_where_it_began(
    answers: Platform, client: Client
) -> None:
    told = answers.lineage.warnings.copy()
    answers.lineage.warnings.clear()
    warnings = client.watch_propagation("feed_rank")
    threading.Timer(0.5, lambda: answers.lineage.warnings.extend(told)).start()
    assert next(warnings).cursor == "1"
    first, second, *_ = answers.lineage.requests
    assert (first.cursor, first.send_start) == ("", True)
    assert (second.cursor, second.send_start) == ("0", False)


async def test_the_async_client_asks_the_same(answers: Platform, asynchronous: aio.Client) -> None:
    lineage = answers.lineage
    sources = [service.FeatureSources(feature="a", sources=["job:airflow:encode"])]
    assert await asynchronous.register_features(sources, since=TWO)
    assert await asynchronous.register_model("ads_ctr", feeds=FEED)
    assert await asynchronous.lineage("model:ads_ctr") == lineage.surroundings
    assert await asynchronous.trace_propagation("feature:a") == lineage.propagation
    assert await asynchronous.common_causes(["feature:a"]) == lineage.causes
    assert await asynchronous.blast_radius(["feature:a"]) == lineage.radius
    assert await anext(asynchronous.watch_propagation("feed_rank")) == lineage.warnings[0]


def test_the_graph_is_shown(answers: Platform) -> None:
    shown = run("lineage", "show", "model:ads_ctr", "--as-of", "2026-11-20").stdout
    assert cells(shown, "importances")[:6] == [
        "0",
        "feature:user_embedding",
        "model:ads_ctr",
        "-",
        "0.5",
        "measured",
    ]
    assert "raise --depth" in shown
    assert answers.lineage.requests[0].as_of == stamp(2026, 11, 20, 0)
    assert run_json("lineage", "show", "model:ads_ctr")["lineage"]["edges"]


def test_a_shift_is_traced(answers: Platform) -> None:
    shown = run("lineage", "trace", "feature:user_embedding").stdout
    assert cells(shown, "root")[:3] == ["feature:user_embedding", "root", "0"]
    assert "feature:user_embedding -> model:ads_ctr" in shown
    assert "not observed" in shown
    assert "the strongest were" in shown
    told = run_json("lineage", "trace", "feature:user_embedding")["propagation"]
    assert told["origin_shift"] == 4.0


def test_causes_are_found_of_an_incident_and_of_nodes(answers: Platform) -> None:
    name = incident().name.removeprefix("incidents/")
    shown = run("lineage", "causes", name).stdout
    assert "job:airflow:encode" in shown
    assert "2 of 2" in shown
    assert "run 7 failed" in shown
    assert "2 shifted; by coincidence: 1" in shown
    assert "its 3 features shifted together (p 0.001), alone unsuspicious: c" in shown
    assert "the models" not in shown
    asked = answers.lineage.requests[0]
    assert (asked.window, asked.with_others) == (incident().comparison.anomaly.name, True)
    run("lineage", "causes", name, "--alone")
    assert not answers.lineage.requests[-1].with_others
    answers.lineage.causes.shifted.extend(["model:ads_ctr", "model:feed_rank"])
    shown = run("lineage", "causes", name).stdout
    assert "4 shifted, the models ads_ctr, feed_rank among them; by coincidence" in shown
    assert run_json("lineage", "causes", "feature:a", "feature:b")["causes"]["causes"]
    assert list(answers.lineage.requests[-1].nodes.nodes) == ["feature:a", "feature:b"]
    run("lineage", "causes", "INC-1", "INC-2", code=2)


def test_that_no_cause_is_known_is_said(answers: Platform) -> None:
    del answers.lineage.causes.causes[:]
    shown = run("lineage", "causes", "feature:a", "feature:b").stdout
    assert shown.startswith("Nothing upstream of them is known: see docs/operations/lineage.md.")


def test_a_blast_radius_is_shown(answers: Platform) -> None:
    shown = run("lineage", "blast-radius", "feature:user_embedding", "--within", "ads_ctr").stdout
    assert cells(shown, "ads_ctr")[:3] == ["ads_ctr", "0.5", "user_embedding"]
    assert "1 model, 2 features and 4 nodes in all." in shown
    assert run_json("lineage", "blast-radius", "feature:a")["blast_radius"]["model_count"] == 1
