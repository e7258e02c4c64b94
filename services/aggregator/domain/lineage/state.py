"""All that is kept of a lineage graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.facts import Node, Transform


@dataclass(frozen=True, eq=False)
class GraphState:
    """Nodes by their numbers, rows of edges (see `edges.ROW`) and what their numbers refer to.

    `restated`: when a node's incoming edges were told of completely, in microseconds, by node and
    sender: `node << 32 | provenance`.
    """

    nodes: Sequence[Node]
    provenances: Sequence[str]
    transforms: Sequence[Transform]
    rows: NDArray[np.void]
    restated: Mapping[int, int]
