"""Marquez' ids of nodes, whose parts hold colons, and what they may mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.adapters.marquez_graph import marquez_id, nodes_meant
from services.aggregator.domain.lineage.errors import InvalidNode
from services.aggregator.domain.lineage.nodes import (
    NodeId,
    NodeKind,
    feature_node,
    model_node,
    output_node,
    parse_node,
)

parts = st.text(st.sampled_from("ab:/.3"), min_size=1, max_size=8)


@given(st.sampled_from([NodeKind.JOB, NodeKind.DATASET]), parts, parts)
def test_what_an_id_was_made_of_is_among_what_it_may_mean(
    kind: NodeKind, namespace: str, name: str
) -> None:
    node = NodeId(kind, namespace, name)
    assert node in nodes_meant(marquez_id(node))


def test_a_name_without_a_colon_is_the_likeliest() -> None:
    meant = nodes_meant("dataset:postgres://db:5432:public.users")
    assert meant[0] == parse_node("dataset:postgres://db:5432:public.users")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (feature_node("user_age"), "dataset:aftershock:feature/user_age"),
        (output_node("ads_ctr", "score"), "dataset:aftershock:output/ads_ctr/score"),
        (model_node("ads_ctr"), "job:aftershock:model/ads_ctr"),
        (parse_node("column:s3://b:users:age"), "datasetField:s3://b:users:age"),
    ],
)
def test_what_marquez_does_not_know_stands_in_our_namespace(node: NodeId, text: str) -> None:
    assert marquez_id(node) == text
    assert nodes_meant(text)[0] == node


@pytest.mark.parametrize("text", ["", "run:7", "dataset", "dataset:x", "job:aftershock:other"])
def test_what_can_mean_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidNode):
        nodes_meant(text)
