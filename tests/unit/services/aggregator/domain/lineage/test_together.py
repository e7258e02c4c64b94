"""What shifted together with a window."""

from datetime import timedelta

import pytest

from services.aggregator.domain.lineage.errors import NodeNotFound
from services.aggregator.domain.lineage.facts import Edge
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind, feature_node, model_node
from services.aggregator.domain.lineage.observations import FeatureMove, Sighting
from services.aggregator.domain.lineage.reach import Bounds
from services.aggregator.domain.lineage.together import (
    MovedTogether,
    moved_together,
    of_one_story,
)
from tests.unit.services.aggregator.domain.lineage.worlds import DAY, HOUR, graph_of, told


def sighting(model: str, *, off: bool = True, **moved: bool) -> Sighting:
    return Sighting(
        model=model,
        start=DAY,
        end=DAY + timedelta(hours=1),
        shift=0.3,
        has_moved=off,
        features=tuple(moved),
        moves=[FeatureMove(name, 1.0) for name, is_moved in moved.items() if is_moved],
    )


def names(moved: MovedTogether) -> tuple[list[str], list[str]]:
    return list(map(str, moved.own)), list(map(str, moved.others))


def test_what_one_model_sees_alone_is_its_own() -> None:
    own = sighting("a", shared=True, odd=True, own=True)
    around = [
        sighting("b", shared=True, odd=False, theirs=True),
        sighting("c", shared=False, odd=False),
        sighting("healthy", off=False, shared=False, own=False, theirs=False),
    ]
    assert names(moved_together(own, around)) == (
        ["model:a", "feature:own", "feature:shared"],
        ["model:b", "model:c", "feature:theirs"],
    )


def test_windows_of_one_model_count_once() -> None:
    own = sighting("a", shared=True)
    around = [sighting("a", shared=False, more=True), sighting("b", shared=False, late=False)]
    later = sighting("b", shared=False, late=True)
    assert names(moved_together(own, [*around, around[1], later])) == (
        ["model:a", "feature:shared"],
        ["model:b", "feature:late"],
    )


def test_a_window_that_is_not_off_has_its_features() -> None:
    own = sighting("a", off=False, one=True)
    assert names(moved_together(own, [])) == (["feature:one"], [])


def test_only_what_hangs_together_is_of_one_story() -> None:
    def job(name: str) -> NodeId:
        return NodeId(NodeKind.JOB, "airflow", name)

    shared, elsewhere = job("shared"), job("elsewhere")
    view = graph_of(
        told(
            [
                *(Edge(shared, feature_node(name)) for name in ("one", "two")),
                *(
                    Edge(feature_node(name), model_node(to))
                    for name, to in (("one", "a"), ("two", "b"))
                ),
                Edge(elsewhere, feature_node("three")),
                Edge(feature_node("three"), model_node("c")),
            ]
        )
    ).at(DAY + HOUR)
    moved = MovedTogether(
        own=[feature_node("one")],
        others=[*map(model_node, "abc"), *map(feature_node, ("two", "three", "unheard"))],
    )
    assert list(map(str, of_one_story(view, moved, Bounds()))) == [
        "feature:one",
        "model:a",
        "model:b",
        "feature:two",
    ]
    with pytest.raises(NodeNotFound):
        of_one_story(view, MovedTogether([feature_node("unheard")], [model_node("a")]), Bounds())
