import numpy as np
import pytest

from services.audit.domain.errors import InvalidParameters, TooLargeForExact, UnknownLabel
from services.audit.domain.parameters import SubsetParameters, Usability
from services.audit.domain.rows import LabelRows
from services.audit.engine import poisonable
from services.audit.engine.graph import CooccurrenceGraph
from services.audit.engine.larger_sets import from_independent_set, from_random_classes
from services.audit.engine.overlaps import trigger_overlaps
from services.audit.engine.poisonable import excluded_labels, poisonable_subset
from services.audit.engine.sweep import sweep_edge_threshold

NAMES = ("trigger", "a", "b", "c", "d", "e", "loner", "everywhere")
TRIGGER = 0
NEEDS = Usability(min_classes=3, min_clean_rows=20, min_trigger_rows=5)


def world(a_with_b: int = 12) -> LabelRows:
    """a to e meet the trigger 6, 7, ... times and each 30 times not; a and b also meet."""
    rows: list[list[int]] = []
    for offset, label in enumerate(range(1, 6)):
        rows += [[TRIGGER, label]] * (6 + offset)
        rows += [[label, 7]] * 30
    rows += [[1, 2]] * a_with_b
    return LabelRows.of(NAMES, rows)


def graph(a_with_b: int = 12) -> CooccurrenceGraph:
    return CooccurrenceGraph.from_rows(world(a_with_b), 5)


def parameters(**changes: object) -> SubsetParameters:
    return SubsetParameters(**{"min_trigger_overlaps": 5, "usability": NEEDS, **changes})  # type: ignore[arg-type]


def test_classes_meet_the_trigger_and_not_each_other() -> None:
    subset = poisonable_subset(graph(), TRIGGER, parameters())
    assert len(subset.classes) == 4
    assert {3, 4, 5} < set(subset.classes.tolist())
    assert subset.is_usable
    counts = dict(zip(subset.classes.tolist(), subset.trigger_rows.tolist(), strict=True))
    assert (counts[3], counts[5]) == (8, 10)
    assert subset.clean_rows is not None
    assert min(subset.clean_rows) >= 30


def test_tolerated_overlaps_between_classes_are_not_the_trigger_edge() -> None:
    tolerant = poisonable_subset(graph(), TRIGGER, parameters(tolerated_class_overlaps=12))
    assert tolerant.classes.tolist() == [1, 2, 3, 4, 5]
    strict = poisonable_subset(graph(3), TRIGGER, parameters(tolerated_class_overlaps=2))
    assert len(strict.classes) == 4
    far = poisonable_subset(graph(), TRIGGER, parameters(min_trigger_overlaps=9))
    assert far.classes.tolist() == [4, 5]
    assert not far.is_usable


@pytest.mark.parametrize(
    ("needs", "usable"),
    [
        (Usability(3, 20, 8), {3, 4, 5}),
        (Usability(3, 200, 5), set()),
        (Usability(3, 20, 11), set()),
    ],
)
def test_classes_need_rows_with_and_without_the_trigger(needs: Usability, usable: set[int]) -> None:
    subset = poisonable_subset(graph(), TRIGGER, parameters(usability=needs))
    assert set(subset.usable_classes.tolist()) == usable
    assert subset.is_usable == bool(usable)


def test_excluded_labels_are_no_classes() -> None:
    subset = poisonable_subset(graph(), TRIGGER, parameters(), excluded=[3])
    assert 3 not in subset.classes


def test_without_rows_clean_rows_are_unknown_and_not_demanded() -> None:
    counts = graph().counts.toarray()
    bare = CooccurrenceGraph.from_matrix(NAMES, counts, 5)
    subset = poisonable_subset(bare, TRIGGER, parameters(usability=Usability(3, 10**6, 5)))
    assert subset.clean_rows is None
    assert subset.is_usable


def test_labels_in_nearly_every_row_are_excluded_by_their_share() -> None:
    rows = world()
    cap = excluded_labels(graph(), ["loner"], rows.row_count, max_row_share=0.5)
    assert cap == {6, 7}
    with pytest.raises(UnknownLabel, match="'nobody'"):
        excluded_labels(graph(), ["nobody"])
    bare = CooccurrenceGraph.from_matrix(NAMES, graph().counts.toarray(), 5)
    with pytest.raises(InvalidParameters, match="needs rows"):
        excluded_labels(bare, [], rows.row_count, max_row_share=0.5)


def test_pairs_of_triggers_count_once_in_either_order() -> None:
    subsets = [poisonable_subset(graph(), t, parameters(usability=NEEDS)) for t in (TRIGGER, 7)]
    forward, backward = trigger_overlaps(subsets), trigger_overlaps(subsets[::-1])
    assert len(forward) == len(backward) == 1
    assert forward[0].triggers == backward[0].triggers == (0, 7)
    expected = np.intersect1d(subsets[0].classes, subsets[1].classes)
    assert forward[0].classes.tolist() == expected.tolist()
    assert len(expected) > 0


def test_a_higher_edge_threshold_finds_more_classes_that_meet_more() -> None:
    points = sweep_edge_threshold(graph(), TRIGGER, parameters(), [5, 13])
    assert [point.class_count for point in points] == [4, 5]
    assert points[0].dilution == 0.0
    # a holds b in 12 of 48 rows, b holds a in 12 of 49; the three others hold none.
    assert points[1].dilution == pytest.approx((12 / 48 + 12 / 49) / 5)


def test_a_larger_set_keeps_rows_of_exactly_one_of_its_classes() -> None:
    rows = world()
    subset = poisonable_subset(graph(), TRIGGER, parameters(tolerated_class_overlaps=12))
    own = from_independent_set(rows, subset, poisoned=3, added=2, seed=0)
    assert sorted([*own.poisoned, *own.added]) == [1, 2, 3, 4, 5]
    other = from_random_classes(rows, subset, poisoned=5, added=1, seed=0)
    assert other.added.tolist() == [7]
    for larger in (own, other):
        classes = {*larger.poisoned.tolist(), *larger.added.tolist()}
        held = [
            rows.ids[rows.offsets[i] : rows.offsets[i + 1]].tolist() for i in range(rows.row_count)
        ]
        single = [i for i, row in enumerate(held) if len(classes & set(row)) == 1]
        assert larger.rows.tolist() == single
    with pytest.raises(InvalidParameters, match="9 classes of the set are asked for, there are 5"):
        from_independent_set(rows, subset, poisoned=3, added=6, seed=0)


def test_too_many_possible_classes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = CooccurrenceGraph.from_rows(world(), 5)
    monkeypatch.setattr(poisonable, "_MOST_SEARCHED", 3)
    with pytest.raises(TooLargeForExact, match="'trigger' has 5 possible classes"):
        poisonable_subset(graph, TRIGGER, SubsetParameters(5, usability=NEEDS))
