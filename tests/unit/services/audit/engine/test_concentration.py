import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.audit.domain.errors import InvalidParameters
from services.audit.domain.rows import LabelRows
from services.audit.domain.snapshot import LabelledRows, Outcomes
from services.audit.engine.concentration import LabelledCounts, concentrations
from services.audit.engine.labelled_counts import count_outcomes

RATE = 0.05
PRIOR = 20.0


def snapshot(
    seed: int,
    rows: int = 20_000,
    labels: int = 200,
    shares: tuple[float, ...] = (0.9, 0.1),
    planted: tuple[int, int, float] | None = None,
) -> LabelledCounts:
    """Rows of random labels and classes; `planted` = (label, class, share of its rows in it)."""
    generator = np.random.default_rng(seed)
    classes = generator.choice(len(shares), rows, p=shares)
    popularity = 1.0 / np.arange(1, labels + 1)
    held = generator.random((rows, labels)) < 0.3 * popularity
    if planted is not None:
        label, target, share = planted
        classes[held[:, label] & (generator.random(rows) < share)] = target
    counts = np.stack([held[classes == c].sum(axis=0) for c in range(len(shares))], axis=1)
    totals = np.bincount(classes, minlength=len(shares)).astype(np.int64)
    return LabelledCounts(counts.astype(np.int64), totals)


def test_an_id_whose_rows_turned_to_a_class_comes_first() -> None:
    found = concentrations(snapshot(1, planted=(40, 1, 0.8)), snapshot(2), PRIOR, RATE)
    assert (found[0].label, found[0].class_index) == (40, 1)
    assert found[0].is_significant
    assert found[0].share > 0.6
    assert found[0].expected_share < 0.3


def test_hubs_whose_rows_lean_as_ever_are_no_evidence() -> None:
    found = {c.label: c for c in concentrations(snapshot(3), snapshot(4), PRIOR, RATE)}
    hubs = [found[label] for label in range(10)]
    assert not any(hub.is_significant for hub in hubs)
    assert max(hub.z for hub in hubs) < 4


def test_few_false_discoveries_among_ids_that_did_not_change() -> None:
    flagged = sum(
        any(c.is_significant for c in concentrations(snapshot(s), snapshot(s + 99), PRIOR, RATE))
        for s in range(20)
    )
    # At a rate of .05 one of twenty snapshots is expected to flag something.
    assert flagged <= 4


def test_a_class_that_grew_everywhere_accuses_nobody() -> None:
    grown = snapshot(5, shares=(0.7, 0.3))
    assert not any(c.is_significant for c in concentrations(grown, snapshot(6), PRIOR, RATE))


def test_an_id_that_always_leaned_is_held_against_its_own_past() -> None:
    always = (40, 1, 0.8)
    found = concentrations(snapshot(7, planted=always), snapshot(8, planted=always), PRIOR, RATE)
    assert not any(c.is_significant for c in found)


def test_without_a_past_the_classes_are_the_measure() -> None:
    nothing = LabelledCounts(np.zeros((200, 2), np.int64), np.zeros(2, np.int64))
    found = concentrations(snapshot(9, planted=(40, 1, 0.8)), nothing, PRIOR, RATE)
    assert found[0].label == 40


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_scores_are_finite_and_ids_without_rows_are_left_out(seed: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 3, (12, classes))
    now = LabelledCounts(counts, counts.sum(axis=0))
    past_counts = generator.integers(0, 3, (12, classes))
    found = concentrations(now, LabelledCounts(past_counts, past_counts.sum(axis=0)), 1.0, RATE)
    assert {c.label for c in found} == set(np.flatnonzero(counts.sum(axis=1)).tolist())
    assert all(np.isfinite([c.z, c.p_value, c.share, c.expected_share]).all() for c in found)


def test_an_outcome_that_is_an_id_is_refused() -> None:
    rows = LabelRows.of([str(label) for label in range(5000)], [[0, 1]])
    names = tuple(map(str, range(5000)))
    labelled = LabelledRows(rows, Outcomes(names, np.zeros(1, np.int64)))
    with pytest.raises(InvalidParameters, match="is the outcome column an id") as raised:
        count_outcomes(labelled, rows.names, names)
    assert raised.value.field == "snapshot.rows.outcome_column"
