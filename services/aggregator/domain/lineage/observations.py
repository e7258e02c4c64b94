"""What was seen of nodes: whether they shifted, how far, and since when."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.nodes import feature_node, model_node
from services.aggregator.domain.lineage.registry import NodeRegistry
from services.aggregator.domain.lineage.spans import micros, moment


@dataclass(frozen=True)
class FeatureMove:
    """A feature that shifted in one window of a model that it feeds."""

    feature: str
    shift: float
    """Change of its GFI in multiples of its healthy GFI, absolute."""


@dataclass(frozen=True)
class Sighting:
    """What one closed window of a model showed."""

    model: str
    start: datetime
    end: datetime
    shift: float
    """Absolute change of the logarithm of the model's calibration from its healthy one."""
    has_moved: bool
    """Its calibration is anomalous."""
    features: tuple[str, ...]
    """All that were looked at."""
    moves: Sequence[FeatureMove]
    """Those of them that shifted beyond their noise."""


class Feeling(Enum):
    """Whether a shift that should be felt is."""

    FELT = "FELT"
    NOT_FELT = "NOT_FELT"
    NOT_OBSERVED = "NOT_OBSERVED"


@dataclass(frozen=True, eq=False)
class Observations:
    """By number of the node: `seen` bool [N], `moved` bool [N], `shift` float64 [N], and `since`
    int64 [N]: the start of the first window in which it moved, in microseconds."""

    seen: NDArray[np.bool_]
    moved: NDArray[np.bool_]
    shift: NDArray[np.float64]
    since: NDArray[np.int64]

    @classmethod
    def of(cls, sightings: Iterable[Sighting], nodes: NodeRegistry) -> Self:
        """Put together what some windows showed of nodes that the graph has."""
        count = len(nodes)
        seen, moved = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        made = cls(seen, moved, np.zeros(count), np.zeros(count, np.int64))
        for sighting in sightings:
            seen[nodes.features(sighting.features)] = True
            made._take(sighting, nodes)
        return made

    def _take(self, sighting: Sighting, nodes: NodeRegistry) -> None:
        since = micros(sighting.start)
        model = nodes.find(model_node(sighting.model))
        if model is not None:
            self.seen[model] = True
            self.shift[model] = max(self.shift[model], sighting.shift)
            if sighting.has_moved:
                self._move(model, sighting.shift, since)
        for move in sighting.moves:
            feature = nodes.find(feature_node(move.feature))
            if feature is not None:
                self._move(feature, move.shift, since)

    def _move(self, node: int, shift: float, since: int) -> None:
        self.since[node] = min(since, self.since[node]) if self.moved[node] else since
        self.seen[node] = self.moved[node] = True
        self.shift[node] = max(self.shift[node], shift)

    def feeling(self, node: int) -> Feeling:
        """Return whether a shift is felt at a node."""
        if self.moved[node]:
            return Feeling.FELT
        return Feeling.NOT_FELT if self.seen[node] else Feeling.NOT_OBSERVED

    def move_time(self, node: int) -> datetime | None:
        """Return the start of the first window in which the node moved."""
        return moment(int(self.since[node])) if self.moved[node] else None
