"""Features ablated together, held against the model run with all of them at their baselines."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.attribution.ablate_group import AblateGroup
from services.attribution.domain.checkpoint import Schema
from services.attribution.domain.errors import UnknownFeature
from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod
from services.attribution.domain.logit import sigmoid
from services.attribution.ports import Scorer
from tests.checkpoints import GROUPED, GROUPS, SCHEMA, SMALL_MODELS, random_examples
from tests.unit.services.attribution.predictors import Formula, plain, small_predictor

SAMPLES = [random_examples(count=n, seed=n) for n in (90, 40)]
_ROUNDING = 5e-7
"""Four of float32: logits that differ by no more are the same."""


def scorer_of(name: str, schema: Schema = SCHEMA) -> Scorer:
    predictor = small_predictor(name, schema)
    return Scorer(predictor, plain(predictor))


def brute_force(
    scorer: Scorer, samples: Sequence[Examples], names: Sequence[str], method: LfiMethod
) -> NDArray[np.float64]:
    """Return the LFIs by equation 1 or 2, [N], of probabilities with and without the features."""
    schema = scorer.checkpoint.schema
    features = [schema.features[schema.index[name]] for name in names]
    logits, ablated = (
        np.concatenate([scorer.predictor.logits(s).astype(np.float64) for s in some])
        for some in (samples, [sample.ablated(features) for sample in samples])
    )
    same = np.abs(ablated - logits) <= _ROUNDING * np.maximum(1, np.abs(logits))
    before, after = sigmoid(logits), sigmoid(np.where(same, logits, ablated))
    if method is LfiMethod.RELATIVE:
        return np.asarray(1 - after / before)
    up = before >= scorer.checkpoint.threshold
    return np.where(up, np.log(after / before), np.log((1 - after) / (1 - before)))


def gfi(lfis: NDArray[np.float64]) -> float:
    magnitudes = np.abs(lfis)
    effective = magnitudes[magnitudes > 0]
    return float(len(effective) / len(lfis) * np.median(effective)) if len(effective) else 0.0


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(SMALL_MODELS)),
    method=st.sampled_from(LfiMethod),
    names=st.lists(st.sampled_from(SCHEMA.features), min_size=2, unique=True).map(
        lambda features: [feature.name for feature in features]
    ),
)
def test_importances_are_those_of_plain_forward_passes(
    name: str, method: LfiMethod, names: list[str]
) -> None:
    scorer = scorer_of(name)
    found = AblateGroup.of(scorer, names, method, 64)(SAMPLES)
    joint = gfi(brute_force(scorer, SAMPLES, names, method))
    assert found.joint.gfi == pytest.approx(joint, rel=1e-3, abs=1e-6)
    for feature, member in zip(names, found.members, strict=True):
        alone = gfi(brute_force(scorer, SAMPLES, [feature], method))
        assert member.gfi == pytest.approx(alone, rel=1e-3, abs=1e-6)
    assert found.joint.example_count == 130


def test_two_that_stand_in_for_each_other_matter_only_together() -> None:
    def either(examples: Examples) -> NDArray[np.float64]:
        present = examples.arrays["dense"][:, 0] != 0
        other = examples.arrays["dense"][:, 2] != 0
        return np.asarray((present | other).astype(np.float64) * 2 - 1)

    predictor = Formula(either)
    scorer = Scorer(predictor, plain(predictor))
    found = AblateGroup.of(scorer, ["user_age", "release_year"], LfiMethod.PSEUDO_LOSS, 64)
    importances = found([_with_both(sample) for sample in SAMPLES])
    assert [member.gfi for member in importances.members] == [0, 0]
    assert importances.joint.coverage == 1
    # log(sigmoid(1) / sigmoid(-1))
    assert importances.joint.gfi == pytest.approx(1.0)


def _with_both(examples: Examples) -> Examples:
    return examples.take(np.flatnonzero((examples.arrays["dense"][:, [0, 2]] != 0).all(axis=1)))


def test_groups_of_the_checkpoint_may_be_members() -> None:
    scorer = scorer_of("dots", GROUPED)
    samples = [Examples(GROUPED, sample.arrays) for sample in SAMPLES]
    found = AblateGroup.of(scorer, ["taste", "price"], LfiMethod.PSEUDO_LOSS, 64)(samples)
    columns = AblateGroup.of(
        scorer_of("dots"), [*GROUPS["taste"], "price"], LfiMethod.PSEUDO_LOSS, 64
    )
    assert found.joint == columns(SAMPLES).joint
    with pytest.raises(UnknownFeature, match="in the group 'taste'") as raised:
        AblateGroup.of(scorer, ["price", "gender"], LfiMethod.PSEUDO_LOSS, 64)
    assert raised.value.field == "features[1]"
