"""Brute force against the compiled program, on made-up examples, before it serves."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from services.attribution.domain.example import Examples
from services.attribution.engine.device import array_of, computing_on, tensor_of
from services.attribution.engine.double import in_double, widened
from services.attribution.engine.graph import Graph
from services.attribution.engine.pairs import presence
from services.attribution.engine.program import AblationProgram

_TOLERANCE = 5e-5
"""Of float32 logits, relative to the largest of an example (or to 1)."""

_ROUNDINGS = 8.0
"""How far a delta may be off, in what float32 brute force errs by on the same example."""

_PAIRS_AT_ONCE = 256

_Positions = NDArray[np.intp]


def worst_error(program: AblationProgram, examples: Examples) -> float:
    """Return the largest error of a delta over what float32 brute force can tell; 1 is too much.

    Where an example's logits cancel out (the square of a sum less the sum of squares, of vectors
    far longer than any feature's), float32 brute force itself is off by more than the tolerance.
    By how much, it shows beside float64, which is computed for the examples that need it only.
    """
    answer = program.ablate(examples)
    got = np.column_stack([answer.logits, answer.dense()])
    plain = _BruteForce.of(program, program.graph, examples)
    errors = plain.distance(got) / (_TOLERANCE * plain.scale)
    far = np.flatnonzero(errors > 1)
    if far.size:
        precise = _against_double(program, examples.take(far), got[far], plain.take(far))
        errors[far] = np.where(np.isfinite(precise), precise, errors[far])
    return float(errors.max())


@dataclass(frozen=True)
class _BruteForce:
    """Logits and, behind them, their changes by each feature's ablation: `[N, 1 + M]`."""

    answers: NDArray[np.floating]
    scale: NDArray[np.floating]
    """The largest logit of each example, or 1; `[N]`."""

    @classmethod
    def of(cls, program: AblationProgram, graph: Graph, examples: Examples) -> "_BruteForce":
        before = _logits(program, graph, examples)
        every = np.repeat(before[:, np.newaxis], 1 + len(examples.schema.features), axis=1)
        for features, rows, ablated in _ablated(examples):
            every[rows, 1 + features] = _logits(program, graph, ablated)
        scale = np.maximum(1.0, np.abs(every).max(axis=1))
        every[:, 1:] -= before[:, np.newaxis]
        return cls(every, scale)

    def take(self, rows: _Positions) -> "_BruteForce":
        return _BruteForce(self.answers[rows], self.scale[rows])

    def distance(self, others: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return how far the farthest of each example's answers is from another's, `[N]`."""
        return np.asarray(np.abs(self.answers - others).max(axis=1))


def _against_double(
    program: AblationProgram, examples: Examples, got: NDArray[np.floating], plain: _BruteForce
) -> NDArray[np.floating]:
    """Return the errors over what they may be, `[N]`, by brute force in float64.

    They are NaN if the program has an operator that does not compute in float64.
    """
    try:
        exact = _BruteForce.of(program, in_double(program.graph), examples)
    except (RuntimeError, TypeError):
        return np.full(examples.count, np.nan)
    allowed = _TOLERANCE * plain.scale + _ROUNDINGS * exact.distance(plain.answers)
    return exact.distance(got) / allowed


def _ablated(examples: Examples) -> Iterator[tuple[_Positions, _Positions, Examples]]:
    """Yield features, examples (by position), and the examples with these features ablated.

    A feature at its baseline already is no change to look at.
    """
    features, rows = np.nonzero(presence(examples))
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        repeated = examples.take(rows[some])
        for j in np.unique(features[some]):
            first, end = np.searchsorted(features[some], [j, j + 1])
            repeated.ablate_rows(examples.schema.features[j], slice(int(first), int(end)))
        yield features[some], rows[some], repeated


def _logits(program: AblationProgram, graph: Graph, examples: Examples) -> NDArray[np.floating]:
    is_double = graph is not program.graph
    with torch.inference_mode(), computing_on(program.device):
        arguments = [tensor_of(a) for a in examples.arguments()]
        values = graph.run(widened(arguments) if is_double else arguments)
        return np.asarray(array_of(program.logits_of(values[graph.output])))
