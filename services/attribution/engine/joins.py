"""Where the deltas of towers meet in a linear map: one small product per feature."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.graph import Ref, Step, Graph
from services.attribution.engine.pairs import Pairs

Columns = slice | Tensor
"""Where a feature lives in a row: a slice if its elements lie side by side."""


@dataclass(frozen=True)
class LinearJoin:
    """`concat -> Linear`: the change of the answer is `W_j` times the change of tower j."""

    step: int
    source: int
    """The concatenation."""
    width: int
    columns: dict[int, Columns]
    """By feature; those of no element are absent."""
    weights: dict[int, Tensor]
    """[elements of the feature, width] by feature."""

    def run(self, delta: Tensor, pairs: Pairs) -> Tensor:
        """Return the change of the answer for every pair, `[pairs, width]`."""
        answer = delta.new_empty((pairs.count, self.width))
        for feature, start, end in pairs.spans():
            if feature not in self.weights:
                answer[start:end].zero_()
                continue
            part = delta[:, self.columns[feature]].index_select(0, pairs.rows[start:end])
            torch.mm(part, self.weights[feature], out=answer[start:end])
        return answer


def linear_join(
    step: Step, graph: Graph, dependencies: Dependencies, among: int
) -> LinearJoin | None:
    """Return the join that a step is to the features, if it is one."""
    if step.operator not in ("linear", "addmm"):
        return None
    source, matrix = step.arguments[0], step.arguments[1]
    if step.operator == "addmm":
        source, matrix = step.arguments[1], step.arguments[2]
    if not isinstance(source, Ref) or not isinstance(matrix, Ref) or step.shape is None:
        return None
    if matrix.index not in graph.constants or len(step.shape) != 1 or step.keywords:
        return None
    owners = dependencies.owners(source.index, among)
    if owners is None or owners.ndim != 1:
        return None
    weight: Tensor = graph.constants[matrix.index]
    transposed = weight.t() if step.operator == "linear" else weight
    columns = {
        int(j): _columns(np.flatnonzero(owners == j)) for j in np.unique(owners[owners >= 0])
    }
    weights = {j: transposed[where].contiguous() for j, where in columns.items()}
    return LinearJoin(step.index, source.index, step.shape[0], columns, weights)


def _columns(positions: np.ndarray) -> Columns:
    if positions[-1] - positions[0] + 1 == len(positions):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return torch.from_numpy(positions)
