"""OpenLineage's events, made by its own client, as facts of the graph."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.adapters.kept_facets import kept
from services.aggregator.adapters.openlineage_events import observation_of
from services.aggregator.domain.lineage.facts import EventKind, Transform, TransformKind
from services.aggregator.domain.lineage.schema import Observation
from services.chassis.errors import InvalidRequest
from tests.unit.services.aggregator.adapters.openlineage_world import (
    NOON,
    RUN,
    Lifecycle,
    as_json,
    column_lineage,
    dataset_event,
    job_event,
    lifecycle,
    run_event,
    schema,
    symlinks,
)

JOB = "job:airflow:encode"
RAW = "dataset:postgres://db:5432:raw"
OUT = "dataset:postgres://db:5432:out"
AGE = "column:postgres://db:5432:raw:age"
VECTOR = "column:postgres://db:5432:out:vector"
DIRECT, INDIRECT = TransformKind.DIRECT, TransformKind.INDIRECT


def told(event: Any) -> Observation:
    return observation_of(as_json(event))


def edges(observation: Observation) -> set[tuple[str, str]]:
    return {(str(edge.source), str(edge.target)) for edge in observation.facts.edges}


def transforms(observation: Observation) -> dict[tuple[str, str], Transform]:
    return {(str(e.source), str(e.target)): e.transform for e in observation.facts.edges}


def violations(content: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        observation_of(content)
    return dict(caught.value.violations)


def test_inputs_lead_into_the_job_and_it_into_its_outputs() -> None:
    found = told(run_event(inputs={"raw": schema(age="int")}, outputs={"out": {}}))
    assert edges(found) == {(RAW, JOB), (JOB, OUT), (RAW, AGE)}
    assert [str(node.id) for node in found.facts.nodes] == [JOB, RAW, OUT]
    assert found.facts.time == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert found.facts.provenance == "openlineage job airflow:encode"
    (dataset,) = found.schemas
    assert (str(dataset), found.schemas[dataset].columns) == (RAW, {"age": "int"})
    assert found.facts.nodes[1].schema_version == found.schemas[dataset].version


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("", Transform()),
        ("DIRECT/IDENTITY", Transform(DIRECT, "IDENTITY")),
        ("INDIRECT/FILTER", Transform(INDIRECT, "FILTER")),
        ("INDIRECT/JOIN DIRECT/AGGREGATION", Transform(DIRECT, "AGGREGATION")),
    ],
)
def test_a_column_acts_directly_if_it_does_so_in_any_way(steps: str, expected: Transform) -> None:
    facets = column_lineage({"vector": [("raw", "age", steps)]})
    found = told(run_event(outputs={"out": facets}))
    assert transforms(found)[AGE, VECTOR] == expected
    assert (OUT, VECTOR) in edges(found)
    assert VECTOR in map(str, found.facts.restated_nodes)


def test_a_filter_acts_on_the_whole_dataset() -> None:
    facets = column_lineage({}, whole=[("raw", "age", "INDIRECT/FILTER")])
    found = told(run_event(outputs={"out": facets}))
    assert transforms(found)[AGE, OUT] == Transform(INDIRECT, "FILTER")


def test_transformations_of_before_they_were_by_input() -> None:
    event = as_json(run_event(outputs={"out": column_lineage({"vector": [("raw", "age", "")]})}))
    event["outputs"][0]["facets"]["columnLineage"]["fields"]["vector"] |= {
        "transformationType": "MASKED",
        "transformationDescription": "hashed",
    }
    found = observation_of(event)
    assert transforms(found)[AGE, VECTOR] == Transform(DIRECT, "MASKED")


@pytest.mark.parametrize(
    ("event", "restated"),
    [
        (run_event("START", inputs={"raw": {}}), False),
        (run_event("COMPLETE", inputs={"raw": {}}), True),
        (run_event("COMPLETE", outputs={"out": {}}), False),
        (run_event("FAIL", inputs={"raw": {}}), False),
        (job_event(["raw"]), True),
        (job_event([]), True),
    ],
)
def test_a_job_restates_its_inputs_once_they_are_all_told(event: Any, restated: bool) -> None:
    assert (JOB in map(str, told(event).facts.restated_nodes)) == restated


@pytest.mark.parametrize(
    ("state", "kind", "summary"),
    [
        ("START", EventKind.PIPELINE_RUN, "run started"),
        ("COMPLETE", EventKind.PIPELINE_RUN, "run completed"),
        ("FAIL", EventKind.FAILED_RUN, "run failed: out of memory"),
        ("ABORT", EventKind.FAILED_RUN, "run was aborted"),
    ],
)
def test_a_run_is_an_event_of_its_job(state: str, kind: EventKind, summary: str) -> None:
    error = "out of memory" if state == "FAIL" else ""
    (event,) = told(run_event(state, error=error)).facts.events
    assert (str(event.node), event.kind, event.summary) == (JOB, kind, summary)
    assert event.event_id == f"run:{RUN}:{state}"
    assert json.loads(event.details)["runId"] == RUN


@pytest.mark.parametrize("state", ["RUNNING", "OTHER"])
def test_a_run_that_goes_on_is_no_event(state: str) -> None:
    assert told(run_event(state)).facts.events == ()


def test_events_of_one_run_differ_and_one_sent_twice_does_not() -> None:
    told_of = [
        run_event("START"),
        run_event("COMPLETE"),
        run_event("OTHER"),
        run_event("OTHER", time="2026-11-20T12:00:01+00:00"),
        run_event("OTHER", outputs={"out": {}}),
        run_event("START", run="01940000-0000-7000-8000-000000000002"),
    ]
    keys = [told(event).facts.key for event in told_of]
    assert len(set(keys)) == len(keys)
    assert keys == [told(event).facts.key for event in told_of]


def test_a_dropped_dataset_has_ended() -> None:
    found = told(dataset_event("raw", lifecycle(Lifecycle.DROP)))
    assert [str(node) for node in found.facts.ended_nodes] == [RAW]
    (event,) = found.facts.events
    assert (str(event.node), event.kind, event.summary) == (
        RAW,
        EventKind.LIFECYCLE_CHANGE,
        "dropped",
    )


@pytest.mark.parametrize("state", ["START", "FAIL", "ABORT"])
def test_what_was_not_done_is_not_told_as_done(state: str) -> None:
    found = told(run_event(state, outputs={"out": lifecycle(Lifecycle.DROP)}))
    assert found.facts.ended_nodes == ()
    assert [event.kind for event in found.facts.events] != [EventKind.LIFECYCLE_CHANGE]


def test_a_dataset_is_overwritten_with_every_run_and_that_is_no_news() -> None:
    assert told(dataset_event("raw", lifecycle(Lifecycle.OVERWRITE))).facts.events == ()


def test_a_renamed_dataset_follows_from_the_one_it_was() -> None:
    found = told(dataset_event("raw", lifecycle(Lifecycle.RENAME, former="users")))
    users = "dataset:postgres://db:5432:users"
    assert transforms(found) == {(users, RAW): Transform(operation="IDENTITY")}
    assert found.facts.ended_nodes == ()
    assert {(str(e.node), e.summary) for e in found.facts.events} == {
        (RAW, "renamed"),
        (users, f"renamed to {RAW}"),
    }


def test_other_names_are_linked_both_ways() -> None:
    found = told(dataset_event("raw", symlinks("meta.raw")))
    other = "dataset:hive://meta:meta.raw"
    assert edges(found) == {(RAW, other), (other, RAW)}


def test_features_and_models_stand_in_a_namespace_of_their_own() -> None:
    event = as_json(run_event(inputs={"raw": {}}, outputs={"out": schema(vector="float[]")}))
    event["outputs"][0] |= {"namespace": "aftershock", "name": "feature/user_embedding"}
    event["job"] = {"namespace": "aftershock", "name": "model/ads_ctr"}
    found = observation_of(event)
    assert edges(found) == {
        (RAW, "model:ads_ctr"),
        ("model:ads_ctr", "feature:user_embedding"),
    }
    event["outputs"][0]["name"] = "output/ads_ctr/score"
    assert ("model:ads_ctr", "output:ads_ctr/score") in edges(observation_of(event))
    event["outputs"][0]["name"] = "anything"
    assert list(violations(event)) == ["outputs[0].name"]


def test_what_is_not_understood_is_kept() -> None:
    event = as_json(run_event(inputs={"raw": {}}))
    event["job"]["facets"] = {
        "documentation": {"description": "encodes users"},
        "ownership": {"owners": [{"name": "team:ads", "type": "MAINTAINER"}]},
        "our_cost": {"euros": 3},
    }
    event["inputs"][0] |= {
        "facets": {"our_quality": {"nulls": 0.1}},
        "inputFacets": {"rows": {"count": 7}},
    }
    event["run"]["facets"]["our_cluster"] = {"name": "c1"}
    facts = observation_of(event).facts
    job, dataset = facts.nodes
    assert (job.description, job.owner) == ("encodes users", "team:ads")
    assert json.loads(job.facets) == {"our_cost": {"euros": 3}}
    assert json.loads(dataset.facets) == {"our_quality": {"nulls": 0.1}, "rows": {"count": 7}}
    assert json.loads(facts.events[0].details)["our_cluster"] == {"name": "c1"}


def test_a_facet_that_was_deleted_is_not_there() -> None:
    event = as_json(dataset_event("raw", schema(age="int")))
    event["dataset"]["facets"]["schema"]["_deleted"] = True
    assert observation_of(event).schemas == {}


def test_the_fields_of_a_struct_are_columns() -> None:
    event = as_json(dataset_event("raw", schema(user="struct")))
    event["dataset"]["facets"]["schema"]["fields"][0]["fields"] = [{"name": "age", "type": "int"}]
    (columns,) = observation_of(event).schemas.values()
    assert columns.columns == {"user": "struct", "user.age": "int"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"run": {"runId": "no uuid"}}, "run.runId"),
        ({"eventTime": "2026-11-20T12:00:00"}, "eventTime"),
        ({"eventTime": 1_790_000_000}, "eventTime"),
        ({"eventTime": None}, "eventTime"),
        ({"eventTime": "0001-01-01T00:00:00+05:00"}, "eventTime"),
        ({"eventTime": "9999-12-31T23:59:59-05:00"}, "eventTime"),
        ({"eventType": "EXPLODE"}, "eventType"),
        ({"job": {"namespace": "airflow"}}, "job.name"),
        ({"job": {"namespace": "airflow", "name": "a\nb"}}, "job.name"),
        ({"job": {"namespace": "airflow", "name": "a" * 1100}}, "job"),
        ({"inputs": [{"namespace": "", "name": "raw"}]}, "inputs[0].namespace"),
        ({"inputs": "raw"}, "inputs"),
        ({"outputs": [{"namespace": "x", "name": "y", "facets": 3}]}, "outputs[0].facets"),
    ],
)
def test_a_bad_event_is_refused_with_the_path_of_the_field(
    change: dict[str, Any], field: str
) -> None:
    assert list(violations(as_json(run_event()) | change)) == [field]


def test_deep_paths_and_several_at_once() -> None:
    lineage = column_lineage({"vector": [("raw", "age", "DIRECT/IDENTITY")]})
    event = as_json(run_event(outputs={"out": lineage | lifecycle(Lifecycle.RENAME, "old")}))
    facets = event["outputs"][0]["facets"]
    del facets["columnLineage"]["fields"]["vector"]["inputFields"][0]["field"]
    del facets["lifecycleStateChange"]["previousIdentifier"]
    assert violations(event) == {
        "outputs[0].facets.columnLineage.fields.vector.inputFields[0].field": "Field required",
        "outputs[0].facets.lifecycleStateChange": (
            "a RENAME needs previousIdentifier, the name that it had"
        ),
    }


def test_columns_that_cannot_be_kept() -> None:
    event = as_json(run_event(outputs={"out": schema(**{"a\nb": "int"})}))
    assert list(violations(event)) == ["outputs[0].facets.schema.fields"]
    event = as_json(run_event(outputs={"out": column_lineage({"a\nb": []})}))
    assert list(violations(event)) == ["outputs[0].facets.columnLineage.fields.a\nb"]


@pytest.mark.parametrize("levels", [300, 100_000])
def test_whatever_is_nested_too_deeply_is_refused_or_kept(levels: int) -> None:
    deep: Any = 1
    for _ in range(levels):
        deep = {"a": deep}
    event = as_json(run_event())
    event["job"]["facets"] = {"ours": deep}
    if levels < 1000:
        assert json.loads(observation_of(event).facts.nodes[0].facets) == {"ours": deep}
    else:
        assert violations(event) == {"": "is nested too deeply"}


@pytest.mark.parametrize("content", [[], "event", 3, None, {}, {"eventTime": NOON}])
def test_what_is_no_event_is_refused(content: Any) -> None:
    assert list(violations(content)) == [""]


@given(
    st.dictionaries(
        st.text(max_size=80), st.text(max_size=30_000) | st.integers() | st.none(), max_size=12
    )
)
def test_kept_facets_are_json_and_bounded(facets: dict[str, Any]) -> None:
    text = kept(facets)
    assert len(text) <= 65_536
    if not facets:
        assert text == ""
        return
    content = json.loads(text)
    left_out = facets.keys() - content.keys()
    assert all(content[name] == facets[name] for name in facets.keys() - left_out)
    assert bool(left_out) == ("_omitted" in content and "_omitted" not in facets)
