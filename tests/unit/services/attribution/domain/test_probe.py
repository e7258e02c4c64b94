"""Probes are examples that the schema allows."""

import numpy as np

from services.attribution.domain.probe import probe_examples
from tests.checkpoints import SCHEMA


def test_probes_use_every_feature_and_start_with_none() -> None:
    probes = probe_examples(SCHEMA, 32)
    for feature in SCHEMA.features:
        present = probes.present(feature)
        assert not present[0]
        assert present.any()
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


def test_some_words_decode_to_what_is_no_number() -> None:
    words = probe_examples(SCHEMA, 200).arrays["user_embedding"]
    assert not np.isfinite(words.view(np.float16)).all()
