"""What a mitigation would do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.attribution.domain.checkpoint import Feature
from services.attribution.domain.errors import UnknownFeature
from services.attribution.domain.example import Examples
from services.attribution.domain.logit import sigmoid
from services.attribution.predict import Predict
from services.attribution.preview import (
    Preview,
    PreviewMask,
    PreviewReplacement,
    ratio_standard_error,
)
from tests.checkpoints import GROUPED, GROUPS, IDS, SCHEMA, random_examples
from tests.unit.services.attribution.predictors import small_predictor

PREDICTOR = small_predictor("dots")
PREVIEW = Preview(Predict(PREDICTOR, 64))
SAMPLES = [random_examples(count=n, seed=n) for n in (100, 30)]


def test_features_are_ablated_together() -> None:
    names = ["user_embedding", "genres", "hour"]
    features = [SCHEMA.features[SCHEMA.index[name]] for name in names]
    before, after = (
        np.concatenate([sigmoid(PREDICTOR.logits(s).astype(np.float64)) for s in samples])
        for samples in (SAMPLES, [s.ablated(features) for s in SAMPLES])
    )
    result = PREVIEW(SAMPLES, names)
    assert result.example_count == 130
    assert result.mean_prediction == pytest.approx(before.mean())
    assert result.mitigated_mean_prediction == pytest.approx(after.mean())
    assert result.mean_prediction != pytest.approx(result.mitigated_mean_prediction, rel=1e-3)


@given(
    st.sampled_from(["genres", "watched", "genre_affinity"]),
    st.sets(st.integers(0, IDS), max_size=9),
)
def test_ids_are_left_out_of_lists_as_if_they_had_never_been_there(
    name: str, ids: set[int]
) -> None:
    feature = SCHEMA.features[SCHEMA.index[name]]
    assert isinstance(feature, Feature)
    for sample in SAMPLES:
        masked = sample.without_ids(feature, ids)
        for row in range(sample.count):
            before, after = (
                list(zip(*(each.arrays[n][row].tolist() for n in feature.inputs), strict=True))
                for each in (sample, masked)
            )
            kept = [entry for entry in before if entry[0] and entry[0] not in ids]
            padding = [(0,) * len(feature.inputs)] * (len(before) - len(kept))
            assert after == kept + padding
        for other in sample.arrays.keys() - set(feature.inputs):
            assert masked.arrays[other] is sample.arrays[other]


def test_ids_of_several_features_are_masked_together() -> None:
    masks = [("genres", [1, 2, 3]), ("watched", [4])]
    columns = {name: SCHEMA.features[SCHEMA.index[name]] for name, _ in masks}
    without = list(SAMPLES)
    for name, ids in masks:
        feature = columns[name]
        assert isinstance(feature, Feature)
        without = [sample.without_ids(feature, ids) for sample in without]
    after = np.concatenate([sigmoid(PREDICTOR.logits(s).astype(np.float64)) for s in without])
    result = PreviewMask(Predict(PREDICTOR, 64))(SAMPLES, masks)
    assert result.mean_prediction == PREVIEW(SAMPLES, ["hour"]).mean_prediction
    assert result.mitigated_mean_prediction == pytest.approx(after.mean())
    assert result.mean_prediction != result.mitigated_mean_prediction


def test_another_checkpoint_predicts_on_the_same_examples() -> None:
    other = small_predictor("sum")
    before, after = (
        np.concatenate([sigmoid(p.logits(s).astype(np.float64)) for s in SAMPLES])
        for p in (PREDICTOR, other)
    )
    result = PreviewReplacement(Predict(PREDICTOR, 64), Predict(other, 64))(SAMPLES, SAMPLES)
    assert result.example_count == 130
    assert result.mean_prediction == pytest.approx(before.mean())
    assert result.mitigated_mean_prediction == pytest.approx(after.mean())
    assert result.ratio_standard_error == pytest.approx(ratio_standard_error(after, before))
    itself = PreviewReplacement(Predict(PREDICTOR, 64), Predict(PREDICTOR, 64))(SAMPLES, SAMPLES)
    assert itself.ratio_standard_error == 0


def test_an_unknown_feature_is_named() -> None:
    with pytest.raises(UnknownFeature, match="no feature 'agee'") as caught:
        PREVIEW(SAMPLES, ["hour", "agee"])
    assert caught.value.field == "features[1]"


def test_a_group_is_ablated_whole_and_its_members_are_not_ablated_alone() -> None:
    predictor = small_predictor("dots", GROUPED)
    preview = Preview(Predict(predictor, 64))
    samples = [Examples(GROUPED, sample.arrays) for sample in SAMPLES]
    by_member = PREVIEW(SAMPLES, [*GROUPS["user_profile"], "hour"])
    assert preview(samples, ["user_profile", "hour"]) == by_member
    with pytest.raises(UnknownFeature, match="in the group 'user_profile'") as caught:
        preview(samples, ["hour", "zip_code"])
    assert caught.value.field == "features[1]"


def test_the_ratio_of_one_example_is_uncertain() -> None:
    result = PREVIEW([SAMPLES[0].take(np.array([0]))], ["hour"])
    assert result.ratio_standard_error == float("inf")


def test_the_standard_error_is_that_of_many_samples() -> None:
    generator = np.random.default_rng(0)
    before = generator.beta(2, 5, (4000, 200))
    after = np.clip(before * generator.normal(0.8, 0.2, before.shape), 0, 1)
    ratios = after.mean(axis=1) / before.mean(axis=1)
    estimates = [ratio_standard_error(a, b) for a, b in zip(after[:200], before[:200], strict=True)]
    assert np.mean(estimates) == pytest.approx(ratios.std(), rel=0.05)


def test_a_mitigation_that_scales_every_prediction_has_a_certain_ratio() -> None:
    predictions = np.array([0.1, 0.4, 0.7])
    assert ratio_standard_error(predictions * 0.5, predictions) == pytest.approx(0, abs=1e-12)
