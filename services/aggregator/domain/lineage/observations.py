"""What was seen of nodes: whether they shifted, how far, and since when."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Self

import numpy as np
from numpy.typing import NDArray

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
        looked_at: dict[int, tuple[str, ...]] = {}
        for sighting in sightings:
            # Windows of one checkpoint share their names.
            looked_at[id(sighting.features)] = sighting.features
            made._take(sighting, nodes)
        for names in looked_at.values():
            seen[nodes.features(names)] = True
        return made

    def _take(self, sighting: Sighting, nodes: NodeRegistry) -> None:
        model = nodes.model(sighting.model)
        if model is not None:
            self.seen[model] = True
            self.shift[model] = max(self.shift[model], sighting.shift)
            if sighting.has_moved:
                self._move(model, sighting.shift, micros(sighting.start))
        for move in sighting.moves:
            feature = nodes.feature(move.feature)
            if feature is not None:
                self._move(feature, move.shift, micros(sighting.start))

    def _move(self, node: int, shift: float, since: int) -> None:
        self.since[node] = min(since, self.since[node]) if self.moved[node] else since
        self.seen[node] = self.moved[node] = True
        self.shift[node] = max(self.shift[node], shift)

    def told(
        self, nodes: NDArray[np.intp]
    ) -> Iterator[tuple[Feeling, float | None, datetime | None]]:
        """Return of each node, intp [K], whether a shift is felt there, how far it shifted as far
        as anybody looked, and the start of the first window in which it moved."""
        parts = (self.moved, self.seen, self.shift, self.since)
        for moved, seen, shift, since in zip(*(p[nodes].tolist() for p in parts), strict=True):
            if moved:
                yield Feeling.FELT, shift, moment(since)
            elif seen:
                yield Feeling.NOT_FELT, shift, None
            else:
                yield Feeling.NOT_OBSERVED, None, None
