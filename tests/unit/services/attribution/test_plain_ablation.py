"""Zeros mean "no effect", whatever the batch."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.attribution.domain.ablation import Ablations
from services.attribution.domain.errors import NotFinite
from services.attribution.domain.example import Examples
from services.attribution.plain_ablation import PlainAblation
from tests.checkpoints import SCHEMA, SMALL_MODELS, random_examples
from tests.unit.services.attribution.predictors import Formula, small_predictor

EXAMPLES = random_examples(count=512, seed=3)


def ablate(name: str, examples: Examples) -> NDArray[np.float64]:
    return PlainAblation(small_predictor(name), 512).ablate(examples).dense()


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_deltas_do_not_depend_on_the_size_of_the_batch(name: str) -> None:
    whole = ablate(name, EXAMPLES)
    for size, until in ((1, 20), (7, 70), (29, 290), (101, 505)):
        starts = range(0, until, size)
        parts = [ablate(name, EXAMPLES.take(np.arange(s, s + size))) for s in starts]
        assert np.array_equal(np.concatenate(parts), whole[:until])


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_deltas_do_not_depend_on_the_order_of_the_batch(name: str) -> None:
    order = np.random.default_rng(1).permutation(512)
    assert np.array_equal(ablate(name, EXAMPLES.take(order)), ablate(name, EXAMPLES)[order])


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_deltas_are_those_of_ablating_one_feature_after_the_other(name: str) -> None:
    predictor = small_predictor(name)
    before = predictor.logits(EXAMPLES).astype(np.float64)
    deltas = ablate(name, EXAMPLES)
    for j, feature in enumerate(SCHEMA.features):
        after = predictor.logits(EXAMPLES.ablated([feature])).astype(np.float64)
        assert deltas[:, j] == pytest.approx(after - before, abs=3e-6)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_an_absent_feature_has_no_entry_and_a_present_one_almost_always(name: str) -> None:
    deltas = ablate(name, EXAMPLES)
    present = np.stack([EXAMPLES.present(f) for f in SCHEMA.features], axis=1)
    assert not deltas[~present].any()
    # A ReLU that is shut hides a present feature now and then.
    assert (deltas[present] != 0).mean() > 0.99


def test_a_feature_that_the_model_ignores_has_no_entry() -> None:
    formula = Formula(lambda examples: examples.arrays["price"].astype(np.float32) * 2)
    result = PlainAblation(formula, 64).ablate(EXAMPLES)
    counts = dict(zip(SCHEMA.index, np.diff(result.offsets.astype(int)).tolist(), strict=True))
    assert counts.pop("price") == EXAMPLES.present(SCHEMA.features[3]).sum()
    assert set(counts.values()) == {0}


def test_rare_features_are_ablated_in_their_own_examples_whatever_the_blocks() -> None:
    rare = EXAMPLES.take(np.arange(256))
    for feature in SCHEMA.features:
        rare.ablate_rows(feature, slice(0, 160))
    weights = np.arange(1, 4)

    def logits(examples: Examples) -> NDArray[np.float64]:
        price, dense = (examples.arrays[n].astype(np.float64) for n in ("price", "dense"))
        return np.asarray(price + dense @ weights)

    formula = Formula(logits)
    deltas = PlainAblation(formula, 16).ablate(rare).dense()
    for j, feature in enumerate(SCHEMA.features):
        change = logits(rare.ablated([feature])) - logits(rare)
        assert deltas[:, j] == pytest.approx(change, abs=1e-12)


@pytest.mark.parametrize(("roundings", "entries"), [(2, 0), (8, 512)])
def test_a_change_of_a_few_roundings_is_no_effect(roundings: int, entries: int) -> None:
    epsilon = float(np.finfo(np.float32).eps)

    def logits(examples: Examples) -> NDArray[np.float64]:
        return np.asarray(1.0 + roundings * epsilon * examples.arrays["poster"].any(axis=1))

    with_posters = EXAMPLES.take(np.flatnonzero(EXAMPLES.present(SCHEMA.features[10])))
    result = PlainAblation(Formula(logits), 64).ablate(with_posters)
    assert len(result.deltas) == min(entries, with_posters.count)


def test_entries_are_sorted_and_typed() -> None:
    result: Ablations = PlainAblation(small_predictor("sum"), 64).ablate(EXAMPLES)
    assert result.offsets.dtype == result.example_indices.dtype == np.uint32
    assert result.offsets[0] == 0
    assert result.offsets[-1] == len(result.deltas) == len(result.example_indices)
    for start, end in zip(result.offsets[:-1], result.offsets[1:], strict=True):
        assert (np.diff(result.example_indices[start:end].astype(int)) > 0).all()
    assert (result.deltas != 0).all()


def test_an_ablated_prediction_that_is_no_number_names_the_feature() -> None:
    def logits(examples: Examples) -> NDArray[np.float32]:
        poster = examples.arrays["poster"].any(axis=1)
        return np.where(poster, 1.0, np.nan).astype(np.float32)

    with_posters = EXAMPLES.take(np.flatnonzero(EXAMPLES.arrays["poster"].any(axis=1)))
    with pytest.raises(NotFinite, match="once feature 'poster' is at its baseline"):
        PlainAblation(Formula(logits), 64).ablate(with_posters)


def test_a_prediction_that_is_no_number_names_the_example() -> None:
    def logits(examples: Examples) -> NDArray[np.float64]:
        return np.where(examples.arrays["price"].astype(np.float64) > 1, np.inf, 0)

    first = int(np.argmax(np.isinf(logits(EXAMPLES))))
    with pytest.raises(NotFinite, match=f"inf for example {first} as it is"):
        PlainAblation(Formula(logits), 64).ablate(EXAMPLES)
