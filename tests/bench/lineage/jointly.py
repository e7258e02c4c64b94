"""Pipelines' features ablated together, on the examples that a service would have kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.aggregator.domain.lineage.group_test import FeatureGroup
from services.attribution.ablate_group import AblateGroup
from services.attribution.domain.importance import Importance, Move
from services.attribution.domain.lfi import LfiMethod
from tests.bench.diagnosis.scoring import examples_of
from tests.bench.diagnosis.windows import Windows

_EXAMPLES = 1000
"""Of one population, of the 2,000 that are kept of a window."""
_EARLIER = 4
_BLOCK = _EXAMPLES


@dataclass(frozen=True)
class Jointly:
    """Asks attribution's question of every pipeline."""

    windows: Windows
    _measured: dict[tuple[int, tuple[int, ...]], Importance] = field(default_factory=dict)

    def p(
        self, number: int, anomaly: pa.Table, pipelines: Sequence[FeatureGroup]
    ) -> NDArray[np.float64]:
        """Return the probability that chance moves each pipeline's joint importance as much."""
        found = []
        for pipeline in pipelines:
            members = tuple(pipeline.members.tolist())
            past = range(number - 1 - _EARLIER, number)
            before = [self._clean(window, members) for window in past]
            move = Move([*before, self._importance(anomaly.slice(0, _EXAMPLES), members)])
            found.append(math.erfc(move.z / math.sqrt(2)))
        return np.array(found)

    def _clean(self, number: int, members: tuple[int, ...]) -> Importance:
        if (number, members) not in self._measured:
            table = self.windows.table(number, _EXAMPLES)
            self._measured[number, members] = self._importance(table, members)
        return self._measured[number, members]

    def _importance(self, table: pa.Table, members: Sequence[int]) -> Importance:
        scorer = self.windows.scoring.scorer
        names = [scorer.checkpoint.schema.features[place].name for place in members]
        group = AblateGroup.of(scorer, names, LfiMethod.PSEUDO_LOSS, _BLOCK)
        return group([examples_of(scorer, table)]).joint
