"""Scoring by a learned model: as scikit-learn scores, and told in words."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from services.runbook.domain.case import Case
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.learned import INPUTS, Learned, LearnedModel, Weight, inputs_of
from tests.unit.services.runbook.builders import BROKEN, MODEL, comparison, shift, window

NUMBERS = st.floats(-1e6, 1e6)
MODELS = st.builds(
    LearnedModel,
    weights=st.lists(
        st.builds(Weight, st.sampled_from(list(INPUTS)), NUMBERS, NUMBERS, st.floats(1e-3, 1e6)),
        min_size=1,
        unique_by=lambda weight: weight.input,
    ).map(tuple),
    intercept=NUMBERS,
    slope=NUMBERS,
    offset=NUMBERS,
    at_least=st.floats(0.01, 1),
)
BY_Z = LearnedModel((Weight("abs_z", 3.0, 2.0, 1.0),), -1.0, 1.0, 0.0, 0.5)


def case(**changes: object) -> Case:
    shifts = [
        shift("v3", 1, 1.18, z=60.0),
        shift("v2", 2, 0.63, z=30.0),
        shift("age", 3, 0.01, z=1),
    ]
    given = Case(
        MODEL,
        IncidentVerdict.FEATURE_CORRUPTION,
        comparison(1, shifts=shifts),
        window(1, BROKEN),
        1,
        frozenset(),
    )
    return replace(given, **changes)  # type: ignore[arg-type]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_it_scores_as_scikit_learn_does(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = list(INPUTS)
    rows = random.normal(3.0, random.uniform(0.1, 20, len(names)), (120, len(names)))
    broken = rows[:, 0] + random.normal(0, 5, 120) > 3.0
    broken[:6], broken[6:12] = True, False
    peer = CalibratedClassifierCV(
        make_pipeline(StandardScaler(), LogisticRegression()), ensemble=False, cv=3
    ).fit(rows, broken)
    inner = peer.calibrated_classifiers_[0]
    scaler, logistic = (step for _, step in inner.estimator.steps)
    platt = inner.calibrators[0]
    model = LearnedModel(
        tuple(map(Weight, names, logistic.coef_[0], scaler.mean_, scaler.scale_)),
        logistic.intercept_[0],
        -platt.a_,
        -platt.b_,
        0.5,
    )
    ours = [model.probability(dict(zip(names, row, strict=True))) for row in rows]
    np.testing.assert_allclose(ours, peer.predict_proba(rows)[:, 1], rtol=1e-9, atol=1e-12)


@given(MODELS, st.fixed_dictionaries(dict.fromkeys(INPUTS, NUMBERS)))
def test_any_model_gives_a_probability(model: LearnedModel, inputs: dict[str, float]) -> None:
    assert 0.0 <= model.probability(inputs) <= 1.0


@given(MODELS, st.data())
def test_the_digest_tells_any_two_models_apart(model: LearnedModel, data: st.DataObject) -> None:
    number = data.draw(NUMBERS)
    other = replace(model, intercept=number)
    assert (other.digest == model.digest) == (repr(other.intercept) == repr(model.intercept))


def test_it_chooses_what_is_likely_and_says_what_weighed_most() -> None:
    choice = Learned(BY_Z).choose(case())
    assert choice.features == ("v3", "v2")
    # ln 61 = 4.11, three times its distance from 2 is 6.33; less 1: a probability of 0.995.
    first = "v3 is broken with probability 1.00, most by abs_z 4.11 (+6.33)"
    assert choice.why.startswith(first)
    assert "; v2 is broken with probability 0.96, most by abs_z 3.43 (+4.30)" in choice.why


def test_what_is_switched_off_already_is_no_candidate() -> None:
    assert Learned(BY_Z).choose(case(killed=frozenset({"v3"}))).features == ("v2",)


def test_shares_are_of_the_largest_that_is_still_served() -> None:
    assert inputs_of(case(killed=frozenset({"v3"})))["v2"]["share_of_top"] == 1.0


def test_without_a_comparison_nothing_is_chosen() -> None:
    assert Learned(BY_Z).choose(case(comparison=None)).features == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_counts_as_nothing(value: float) -> None:
    odd = replace(shift("v3", 1, 1.0), z=value, score=value, control_gfi=value)
    found = inputs_of(case(comparison=comparison(1, shifts=[odd])))["v3"]
    assert found["abs_z"] == found["evidence"] == 0.0
    assert all(np.isfinite(list(found.values())))
