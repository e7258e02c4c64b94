"""What every Ablator does, on models with every kind of join."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.errors import NotFinite
from services.attribution.domain.example import Examples
from services.attribution.engine.compiler import compiled
from services.attribution.plain_ablation import PlainAblation
from services.attribution.ports import Ablator
from tests.checkpoints import GROUPED, SCHEMA, SMALL_MODELS, grouped, random_examples
from tests.unit.services.attribution.predictors import small_predictor

ABLATORS: dict[str, Callable[[TorchPredictor], Ablator]] = {
    "plain": lambda predictor: PlainAblation(predictor, 256),
    "engine": lambda predictor: compiled(predictor.program, predictor.checkpoint),
}
EXAMPLES = random_examples(count=150, seed=21)


@pytest.fixture(params=SMALL_MODELS, scope="module")
def predictor(request: pytest.FixtureRequest) -> TorchPredictor:
    return small_predictor(request.param)


@pytest.fixture(params=ABLATORS, scope="module")
def ablator(request: pytest.FixtureRequest, predictor: TorchPredictor) -> Ablator:
    return ABLATORS[request.param](predictor)


def test_logits_are_the_predictors(ablator: Ablator, predictor: TorchPredictor) -> None:
    assert ablator.checkpoint is predictor.checkpoint
    expected = predictor.logits(EXAMPLES)
    assert ablator.ablate(EXAMPLES).logits == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_deltas_are_those_of_brute_force(ablator: Ablator, predictor: TorchPredictor) -> None:
    deltas = ablator.ablate(EXAMPLES).dense()
    before = predictor.logits(EXAMPLES).astype(np.float64)
    for j, feature in enumerate(SCHEMA.features):
        after = predictor.logits(EXAMPLES.ablated([feature])).astype(np.float64)
        assert deltas[:, j] == pytest.approx(after - before, rel=1e-4, abs=5e-6)


def test_it_says_what_it_costs(ablator: Ablator) -> None:
    explanation = ablator.explanation
    assert explanation.features == len(SCHEMA.features)
    assert sum(route.features for route in explanation.routes) <= explanation.features
    assert explanation.operations(0.5) < explanation.operations(1.0)
    assert explanation.predicted_speedup(0.0) == pytest.approx(explanation.features)


def test_an_absent_feature_has_no_entry(ablator: Ablator) -> None:
    deltas = ablator.ablate(EXAMPLES).dense()
    present = np.stack([EXAMPLES.present(f) for f in SCHEMA.features], axis=1)
    assert not deltas[~present].any()


def test_entries_are_sorted_and_typed(ablator: Ablator) -> None:
    result = ablator.ablate(EXAMPLES)
    assert result.offsets.dtype == result.example_indices.dtype == np.uint32
    assert len(result.offsets) == len(SCHEMA.features) + 1
    assert result.offsets[-1] == len(result.deltas) == len(result.example_indices)
    for start, end in zip(result.offsets[:-1], result.offsets[1:], strict=True):
        assert (np.diff(result.example_indices[start:end].astype(int)) > 0).all()
    assert (result.deltas != 0).all()


@pytest.mark.parametrize("size", [1, 7, 29])
def test_entries_do_not_depend_on_the_size_of_the_batch(ablator: Ablator, size: int) -> None:
    whole = ablator.ablate(EXAMPLES).dense() != 0
    for start in range(0, 29, size):
        rows = np.arange(start, start + size)
        part = ablator.ablate(EXAMPLES.take(rows)).dense() != 0
        assert np.array_equal(part, whole[rows])


def test_entries_do_not_depend_on_the_order_of_the_batch(ablator: Ablator) -> None:
    order = np.random.default_rng(2).permutation(EXAMPLES.count)
    shuffled = ablator.ablate(EXAMPLES.take(order)).dense() != 0
    assert np.array_equal(shuffled, (ablator.ablate(EXAMPLES).dense() != 0)[order])


def test_examples_are_left_alone(ablator: Ablator) -> None:
    examples = random_examples(count=9, seed=4)
    ablator.ablate(examples)
    untouched = random_examples(count=9, seed=4)
    for name, array in examples.arrays.items():
        assert np.array_equal(array, untouched.arrays[name])


def test_a_prediction_that_is_no_number_is_refused(ablator: Ablator) -> None:
    examples = random_examples(count=9, seed=4)
    examples.arrays["price"][4] = np.float32(np.inf)
    examples.arrays["poster"][4] = np.float32(-np.inf)
    with pytest.raises(NotFinite, match="example 4"):
        ablator.ablate(examples)


@pytest.mark.parametrize("wanted", [[], [3], [0, 5, 9], range(1, len(SCHEMA.features), 2)])
def test_only_the_wanted_features_are_ablated(ablator: Ablator, wanted: Sequence[int]) -> None:
    mask = np.zeros(len(SCHEMA.features), dtype=np.bool_)
    mask[list(wanted)] = True
    some, everything = ablator.ablate(EXAMPLES, mask), ablator.ablate(EXAMPLES).dense()
    assert np.array_equal(some.dense() != 0, (everything != 0) & mask)
    # A product of another shape adds up in another order: a rounding of the logit.
    expected = np.where(mask, everything, 0.0)
    assert some.dense() == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert some.logits == pytest.approx(ablator.ablate(EXAMPLES).logits, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("make", ABLATORS.values(), ids=ABLATORS.keys())
@pytest.mark.parametrize("name", ["dots", "norm"])
def test_a_group_is_ablated_as_one(name: str, make: Callable[[TorchPredictor], Ablator]) -> None:
    predictor = small_predictor(name, GROUPED)
    ablator, examples = make(predictor), Examples(GROUPED, EXAMPLES.arrays)
    deltas = ablator.ablate(examples).dense()
    before = predictor.logits(examples).astype(np.float64)
    for j, feature in enumerate(GROUPED.features):
        after = predictor.logits(examples.ablated([feature])).astype(np.float64)
        assert deltas[:, j] == pytest.approx(after - before, rel=1e-4, abs=5e-6)
        assert not deltas[~examples.present(feature), j].any()
    for size in (1, 7, 29, 101):
        part = ablator.ablate(examples.part(0, size)).dense()
        assert np.array_equal(part != 0, deltas[:size] != 0)
    only = np.arange(len(GROUPED.features)) == 1
    alone = ablator.ablate(examples, only).dense()
    assert np.array_equal(alone != 0, (deltas != 0) & only)


@pytest.mark.parametrize("make", ABLATORS.values(), ids=ABLATORS.keys())
def test_one_group_of_all_columns_is_ablated(make: Callable[[TorchPredictor], Ablator]) -> None:
    schema = grouped(SCHEMA, {"all": list(SCHEMA.index)})
    predictor, examples = small_predictor("dots", schema), Examples(schema, EXAMPLES.arrays)
    nothing = predictor.logits(examples.ablated(schema.features)).astype(np.float64)
    deltas = make(predictor).ablate(examples).dense()
    assert deltas[:, 0] == pytest.approx(nothing - predictor.logits(examples), abs=5e-5)
