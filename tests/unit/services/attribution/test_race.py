"""Races over a real model's LFIs find what ablating everything finds, and ablate less."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from services.attribution.domain.ablation import Ablations
from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.compilation import Explanation
from services.attribution.domain.errors import Abandoned
from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod
from services.attribution.domain.racing import Race, Racing, Standing
from services.attribution.engine.compiler import compiled
from services.attribution.explain import Explain
from services.attribution.ports import Ablator
from services.attribution.race import RaceOn
from tests.checkpoints import SCHEMA, random_examples
from tests.unit.services.attribution.predictors import plain, small_predictor
from tests.unit.services.attribution.races import Matrix, full_gfi, is_right, run

COUNT = len(SCHEMA.features)
EXAMPLES = random_examples(count=8000, seed=11)


@dataclass
class Counting:
    """An ablator that keeps count of what it is asked for."""

    inner: Ablator
    pairs: int = 0
    batches: list[int] = field(default_factory=list)

    @property
    def checkpoint(self) -> Checkpoint:
        return self.inner.checkpoint

    @property
    def explanation(self) -> Explanation:
        return self.inner.explanation

    def ablate(self, examples: Examples, features: NDArray[np.bool_] | None = None) -> Ablations:
        assert features is not None
        self.batches.append(examples.count)
        self.pairs += int(examples.present_counts()[features].sum())
        return self.inner.ablate(examples, features)


@cache
def engine() -> Ablator:
    predictor = small_predictor("dots")
    return compiled(predictor.program, predictor.checkpoint)


@cache
def all_lfis(method: LfiMethod) -> Matrix:
    """Return every LFI, [examples, features]."""
    return Explain(engine(), method)(EXAMPLES).dense().astype(np.float32)


def raced(ablator: Ablator, method: LfiMethod, rule: Racing, seed: int) -> Standing:
    order = np.random.default_rng(seed).permutation(EXAMPLES.count)
    race_on = RaceOn(Explain(ablator, method), Race(rule, COUNT))
    for start in range(0, EXAMPLES.count, 250):
        examples = EXAMPLES.take(order[start : start + 250])
        standing = race_on(examples, examples.present_counts())
    return standing


@pytest.mark.parametrize("method", LfiMethod)
@pytest.mark.parametrize("top_k", [1, 5])
def test_the_full_answers_top_is_found_as_often_as_stated(method: LfiMethod, top_k: int) -> None:
    lfis, gfi = all_lfis(method), full_gfi(all_lfis(method))
    races, confidence, matched, settled = 20, 0.75, 0, 0
    for seed in range(races):
        order = np.random.default_rng(seed).permutation(len(lfis))
        standing = run(lfis[order], Racing(top_k, confidence))
        matched += is_right(standing, gfi, top_k)
        settled += standing.is_settled
        assert standing.pairs_saved > standing.pairs_ablated / 4
    assert matched >= confidence * races
    # The first five are well apart from the sixth, and not from each other.
    assert settled == (races if top_k == 5 else 0)


def test_a_race_with_the_engine_is_the_race_over_its_lfis() -> None:
    rule, method = Racing(5, 0.75), LfiMethod.PSEUDO_LOSS
    standing = raced(engine(), method, rule, seed=1)
    order = np.random.default_rng(1).permutation(EXAMPLES.count)
    expected = run(all_lfis(method)[order], rule, 250)
    assert standing.is_settled
    assert standing.outcomes == expected.outcomes
    assert standing.gfi == pytest.approx(expected.gfi, rel=0.02)


def test_what_is_ablated_is_what_is_told() -> None:
    counting = Counting(engine())
    standing = raced(counting, LfiMethod.PSEUDO_LOSS, Racing(5, 0.75), seed=0)
    assert counting.pairs == standing.pairs_ablated
    total = int(EXAMPLES.present_counts().sum())
    assert standing.pairs_ablated + standing.pairs_saved == total
    assert standing.example_count == EXAMPLES.count


def test_a_settled_race_does_not_even_score() -> None:
    counting = Counting(engine())
    standing = raced(counting, LfiMethod.PSEUDO_LOSS, Racing(5, 0.75), seed=0)
    assert standing.is_settled
    assert sum(counting.batches) < EXAMPLES.count
    assert sum(counting.batches) == max(standing.example_counts)


def test_examples_that_nobody_waits_for_do_not_count() -> None:
    race = Race(Racing(1, 0.9), COUNT)
    race_on = RaceOn(Explain(plain(small_predictor("dots")), LfiMethod.RELATIVE), race)
    examples = EXAMPLES.part(0, 300)
    with pytest.raises(Abandoned):
        race_on(examples, examples.present_counts(), is_wanted=lambda: False)
    assert race.standing().example_count == 0
