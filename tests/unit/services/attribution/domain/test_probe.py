"""Probes are examples that the schema allows."""

import numpy as np

from services.attribution.domain.checkpoint import FeatureKind
from services.attribution.domain.probe import probe_examples
from tests.checkpoints import SCHEMA


def test_probes_have_no_feature_then_all_then_some() -> None:
    probes = probe_examples(SCHEMA, 32)
    for feature in SCHEMA.columns:
        present = probes.present(feature)
        assert not present[0]
        assert present[1] or feature.kind is FeatureKind.CATEGORICAL  # may draw its baseline
        assert not present[1:].all()


def test_probes_keep_to_cardinalities_and_dtypes() -> None:
    probes = probe_examples(SCHEMA, 200)
    for spec in SCHEMA.inputs:
        assert probes.arrays[spec.name].dtype == spec.dtype
        assert probes.arrays[spec.name].shape == (200, *spec.shape)
    for feature in SCHEMA.columns:
        if feature.cardinality is not None:
            ids = probes.arrays[feature.input]
            ids = ids if feature.column is None else ids[:, feature.column]
            assert ids.min() >= 0
            assert ids.max() < feature.cardinality


def test_only_the_last_words_decode_to_what_no_feature_has() -> None:
    decoded = probe_examples(SCHEMA, 200).arrays["user_embedding"].view(np.float16)
    assert np.abs(decoded[:-2]).max() < 10
    assert decoded[:-2].std() > 0.5
    assert np.isposinf(decoded[-2]).all()
    assert np.isnan(decoded[-1]).all()
