"""Brute force against the compiled program, on made-up examples, before it serves."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import AnyFeature
from services.attribution.domain.example import Examples
from services.attribution.engine.device import array_of, computing_on, tensor_of
from services.attribution.engine.program import AblationProgram

_TOLERANCE = 5e-5
"""Of float32 logits, relative to the largest of them (or to 1): brute force has no more."""

_FEATURES_AT_ONCE = 64


def worst_error(program: AblationProgram, examples: Examples) -> float:
    """Return the largest error of a delta over what float32 brute force can tell; 1 is too much."""
    answer = program.ablate(examples)
    before = _logits(program, examples)
    ablated = np.concatenate([_logits(program, some) for some in _ablated(examples)])
    changes = ablated.reshape(-1, examples.count).T - before[:, np.newaxis]
    scale = max(1.0, float(np.abs(before).max()), float(np.abs(ablated).max()))
    worst = max(
        float(np.abs(answer.logits - before).max()),
        float(np.abs(answer.dense() - changes).max()),
    )
    return worst / (scale * _TOLERANCE)


def _ablated(examples: Examples) -> Iterator[Examples]:
    """Yield the examples with each feature ablated, those of many features in one batch."""
    features = examples.schema.features
    for start in range(0, len(features), _FEATURES_AT_ONCE):
        yield _side_by_side(examples, features[start : start + _FEATURES_AT_ONCE])


def _side_by_side(examples: Examples, features: tuple[AnyFeature, ...]) -> Examples:
    rows = np.tile(np.arange(examples.count), len(features))
    repeated = examples.take(rows)
    for k, feature in enumerate(features):
        repeated.ablate_rows(feature, slice(k * examples.count, (k + 1) * examples.count))
    return repeated


def _logits(program: AblationProgram, examples: Examples) -> NDArray[np.float32]:
    graph = program.graph
    with torch.inference_mode(), computing_on(program.device):
        values = graph.run([tensor_of(a) for a in examples.arguments()])
        return np.asarray(array_of(program.logits_of(values[graph.output])))
