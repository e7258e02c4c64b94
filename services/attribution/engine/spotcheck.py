"""Brute force against the compiled program, on made-up examples, before it serves."""

import numpy as np
import torch
from numpy.typing import NDArray

from services.attribution.domain.example import Examples
from services.attribution.engine.graph import Graph
from services.attribution.engine.program import AblationProgram

_TOLERANCE = 5e-5
"""Of float32 logits, relative to the largest of them (or to 1): brute force has no more."""


def worst_error(program: AblationProgram, graph: Graph, examples: Examples) -> float:
    """Return the largest error of a delta over what float32 brute force can tell; 1 is too much.

    `graph` is the program's own, answering a logit for each example.
    """
    answer = program.ablate(examples)
    before = _logits(program, graph, examples)
    scale = max(1.0, float(np.abs(before).max()))
    worst = float(np.abs(answer.logits - before).max())
    deltas = answer.dense()
    for j, feature in enumerate(examples.schema.features):
        ablated = _logits(program, graph, examples.ablated([feature]))
        scale = max(scale, float(np.abs(ablated).max()))
        worst = max(worst, float(np.abs(ablated - before - deltas[:, j]).max()))
    return worst / (scale * _TOLERANCE)


def _logits(program: AblationProgram, graph: Graph, examples: Examples) -> NDArray[np.float32]:
    with torch.inference_mode():
        values = graph.run([torch.from_numpy(a) for a in examples.arguments()])
        return np.asarray(program.logits_of(values[graph.output]).numpy())
