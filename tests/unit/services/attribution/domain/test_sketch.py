"""Sketches against counting value by value."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Feature, FeatureKind
from services.attribution.domain.example import Examples
from services.attribution.domain.runs import Ragged
from services.attribution.domain.sketch import FURTHEST, MOST_HITTERS, Sketcher, ValueSketch
from tests.checkpoints import GROUPED, SCHEMA, grouped, random_examples

EXAMPLES = random_examples(count=300, seed=4)
PREDICTIONS = np.random.default_rng(1).random(300).astype(np.float32)
MULTIPLIER = 0x9E3779B97F4A7C15


def sketched(examples: Examples = EXAMPLES) -> ValueSketch:
    return Sketcher(SCHEMA)(examples).sketch(PREDICTIONS)


def rows(ragged: Ragged) -> list[dict[int, int]]:
    bounds = zip(ragged.offsets[:-1], ragged.offsets[1:], strict=True)
    return [
        dict(zip(ragged.keys[a:b].tolist(), ragged.counts[a:b].tolist(), strict=True))
        for a, b in bounds
    ]


def quantities(feature: Feature, examples: Examples) -> list[tuple[str, list[list[float]]]]:
    """Name and values of each of the feature's distributions, a list an example."""
    values = examples.arrays[feature.input]
    column = values if feature.column is None else values[:, feature.column]
    match feature.kind:
        case FeatureKind.NUMERIC:
            return [("number", [[x] for x in column.tolist()])]
        case FeatureKind.CATEGORICAL:
            return [("id", [[x] for x in column.tolist()])]
        case FeatureKind.EMBEDDING:
            return [("norm", [[float(np.linalg.norm(v.astype(np.float64)))] for v in column])]
        case FeatureKind.ENCODED_EMBEDDING:
            decoded = column.view("<f2").astype(np.float64)
            return [("norm", [[float(np.linalg.norm(v))] for v in decoded])]
    ids = [[x for x in row if x] for row in column.tolist()]
    found: list[tuple[str, list[list[float]]]] = [("number", [[len(row)] for row in ids])]
    if feature.weights_input is not None:
        weights = examples.arrays[feature.weights_input].astype(np.float64)
        found.append(("number", [[float(row.sum())] for row in weights]))
    return [*found, ("id", ids)]


def bucket(name: str, value: float) -> int:
    if name == "id":
        return int(value) * MULTIPLIER % 2**64 >> 58
    magnitude = int(np.abs(np.float32(value)).view(np.uint32) >> 20)
    return -magnitude if value < 0 else magnitude


ALL = [
    (feature, name, values)
    for feature in SCHEMA.columns
    for name, values in quantities(feature, EXAMPLES)
]


def test_every_distribution_is_counted_without_the_baseline() -> None:
    found = rows(sketched().buckets)
    assert len(found) == len(ALL)
    for counts, (feature, name, values) in zip(found, ALL, strict=True):
        present = EXAMPLES.present(feature)
        kept = [x for i in np.flatnonzero(present) for x in values[i]]
        assert counts == Counter(bucket(name, x) for x in kept), feature.name
        assert list(counts) == sorted(counts)


def test_examples_at_the_baseline_are_counted_apart() -> None:
    expected = [int((~EXAMPLES.present(feature)).sum()) for feature in SCHEMA.features]
    assert sketched().baseline_counts.tolist() == expected


def test_the_most_frequent_ids_are_told() -> None:
    of_ids = [(f, values) for f, name, values in ALL if name == "id"]
    found = rows(sketched().hitters)
    assert len(found) == len(of_ids)
    for counts, (feature, values) in zip(found, of_ids, strict=True):
        all_ids = Counter(x for i in np.flatnonzero(EXAMPLES.present(feature)) for x in values[i])
        ranked = sorted(((-n, x) for x, n in all_ids.items() if n * 256 >= 300))[:MOST_HITTERS]
        assert counts == {int(x): -n for n, x in ranked}


def test_moments_are_those_of_all_examples() -> None:
    proxied = [(v, n) for f, n, v in ALL if n == "number"]
    moments = sketched().moments
    assert moments.shape == (len(proxied), 3)
    p = PREDICTIONS.astype(np.float64)
    for (mean, squares, products), (values, _) in zip(moments, proxied, strict=True):
        x = np.array([row[0] for row in values])
        assert mean == pytest.approx(x.mean(), rel=1e-6)
        assert squares == pytest.approx(((x - x.mean()) ** 2).sum(), rel=1e-6)
        assert products == pytest.approx((p - p.mean()) @ x, rel=1e-5, abs=1e-6)


def with_input(name: str, values: NDArray[np.generic]) -> Examples:
    return replace(EXAMPLES, arrays={**EXAMPLES.arrays, name: values})


def test_a_vector_that_decodes_to_no_number_is_in_the_furthest_bucket() -> None:
    words = EXAMPLES.arrays["user_embedding"].copy()
    words[:5] = np.array([np.nan, np.inf, 1, 1], dtype="<f2").view("<i8")
    place = next(d for d, (feature, _, _) in enumerate(ALL) if feature.name == "user_embedding")
    assert rows(sketched(with_input("user_embedding", words)).buckets)[place][FURTHEST] == 5


def test_weights_whose_sum_is_beyond_float32_stay_finite() -> None:
    weights = np.full_like(EXAMPLES.arrays["affinity_weights"], np.finfo(np.float32).max)
    assert np.isfinite(sketched(with_input("affinity_weights", weights)).moments).all()


def test_one_example_is_enough() -> None:
    one = Sketcher(SCHEMA)(EXAMPLES.part(0, 1)).sketch(PREDICTIONS[:1])
    assert (one.moments[:, 1:] == 0).all()
    assert set(one.baseline_counts.tolist()) <= {0, 1}


def test_of_a_group_only_the_examples_at_the_baseline_are_counted() -> None:
    examples = Examples(GROUPED, EXAMPLES.arrays)
    counts = Sketcher(GROUPED)(examples)
    expected = [int((~examples.present(feature)).sum()) for feature in GROUPED.features]
    assert counts.baseline_counts.tolist() == expected
    single = [feature for feature in GROUPED.features if isinstance(feature, Feature)]
    assert len(rows(counts.buckets)) == sum(len(quantities(f, EXAMPLES)) for f in single)


def test_a_checkpoint_of_nothing_but_a_group_has_no_distributions() -> None:
    schema = grouped(SCHEMA, {"all": list(SCHEMA.index)})
    examples = Examples(schema, EXAMPLES.arrays)
    sketch = Sketcher(schema)(examples).sketch(np.full(examples.count, 0.5, dtype=np.float32))
    assert sketch.baseline_counts.tolist() == [(~examples.present(schema.features[0])).sum()]
    assert (len(sketch.buckets.keys), sketch.moments.shape) == (0, (0, 3))
