import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.lineage.facts import Edge
from services.aggregator.domain.lineage.group_test import (
    FeatureGroup,
    find_groups,
    groups_of,
    joint_p,
)
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind, feature_node
from tests.unit.services.aggregator.domain.lineage.worlds import DAY, HOUR, graph_of, told

_P = st.floats(1e-12, 0.98)


def job(name: str) -> NodeId:
    return NodeId(NodeKind.JOB, "airflow", name)


def group(*members: int) -> FeatureGroup:
    return FeatureGroup(0, np.array(members, np.intp))


@given(st.lists(_P, min_size=1, max_size=8))
def test_a_group_is_no_rarer_than_its_rarest_and_no_commoner_than_its_commonest(
    p: list[float],
) -> None:
    together = joint_p(np.array(p))
    assert min(p) * (1 - 1e-6) <= together <= max(p) * (1 + 1e-6)


@given(st.lists(_P, min_size=2, max_size=8), st.integers(0, 7), st.floats(0.01, 0.99))
def test_the_rarer_a_member_the_rarer_the_group(p: list[float], place: int, share: float) -> None:
    rarer = list(p)
    rarer[place % len(p)] *= share
    assert joint_p(np.array(rarer)) <= joint_p(np.array(p)) * (1 + 1e-9)


def test_clean_groups_whose_members_hang_together_are_seldom_called() -> None:
    rng = np.random.default_rng(0)
    groups = [group(*range(5 * n, 5 * n + 5)) for n in range(20)]
    called = 0
    for _ in range(400):
        shared = np.repeat(rng.standard_normal(20), 5)
        z = 0.8 * shared + 0.6 * rng.standard_normal(100)
        p = np.array([0.5 * _tail(value) for value in z])
        called += bool(find_groups(p, groups))
    assert called <= 400 * 0.05 + 15


def _tail(z: float) -> float:
    import math

    return math.erfc(z / math.sqrt(2))


def test_members_that_are_weak_alone_are_found_together() -> None:
    p = np.full(200, 0.5)
    p[:4] = 0.001
    groups = [group(*range(4 * n, 4 * n + 4)) for n in range(50)]
    assert p[0] > 0.05 / 200
    [found] = find_groups(p, groups)
    assert found.group is groups[0]
    assert found.p == pytest.approx(0.001, rel=1e-3)


def test_groups_are_what_feeds_several_features_and_not_most_of_them() -> None:
    features = [feature_node(f"f{n}") for n in range(6)]
    table = NodeId(NodeKind.DATASET, "lake", "users")
    edges = [
        *(Edge(table, feature) for feature in features[:2]),
        Edge(job("users"), table),
        *(Edge(job("items"), feature) for feature in features[2:5]),
        Edge(job("single"), features[5]),
        *(Edge(job("all"), feature) for feature in features),
    ]
    view = graph_of(told(edges)).at(DAY + HOUR)
    numbers = np.array([view.number(feature) for feature in features], np.intp)
    found = groups_of(view, numbers)
    assert {view.nodes.id(each.node): each.members.tolist() for each in found} == {
        table: [0, 1],
        job("items"): [2, 3, 4],
    }
