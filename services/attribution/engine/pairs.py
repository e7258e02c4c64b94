"""The (example, feature) pairs of a block that there is work for, in both orders."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.checkpoint import Feature, Group, Schema
from services.attribution.domain.example import Examples
from services.attribution.engine.device import array_of, tensor_of


@dataclass(frozen=True)
class Pairs:
    """Pairs sorted by feature and, within, by row."""

    features: tuple[int, ...]
    """The features in play, rising."""
    starts: tuple[int, ...]
    """[features + 1]: the pairs of the k-th are `[starts[k], starts[k + 1])`."""
    rows: Tensor
    """[pairs]: row of each pair."""
    owners: Tensor
    """[pairs]: feature of each pair."""
    _sorted: dict[int, tuple[Tensor, list[int]]] = field(default_factory=dict)
    _places: dict[tuple[int, int, bool], Tensor] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Return the number of pairs."""
        return len(self.rows)

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Yield each feature that has pairs, with its range."""
        for k, feature in enumerate(self.features):
            if self.starts[k] < self.starts[k + 1]:
                yield feature, self.starts[k], self.starts[k + 1]

    def span(self, feature: int) -> tuple[int, int]:
        """Return the range of a feature's pairs."""
        k = self.features.index(feature)
        return self.starts[k], self.starts[k + 1]

    def by_row(self, rows: int) -> tuple[Tensor, list[int]]:
        """Return the pairs' positions sorted by row, and where each row's begin, `[rows + 1]`."""
        if rows not in self._sorted:
            order = np.argsort(array_of(self.rows).astype(np.int32), kind="stable")
            counts = np.bincount(array_of(self.rows), minlength=rows)
            self._sorted[rows] = tensor_of(order), [0, *np.cumsum(counts).tolist()]
        return self._sorted[rows]

    def places(self, first: int, last: int, *, of_rows: bool) -> Tensor:
        """Return which of some neighbours among the features each of their pairs is of.

        With `of_rows`, which element of `[rows, neighbours]`.
        """
        key = (first, last, of_rows)
        if key not in self._places:
            counts = np.diff(self.starts[first : last + 1])
            places = tensor_of(np.repeat(np.arange(last - first), counts))
            if of_rows:
                places += self.rows[self.starts[first] : self.starts[last]] * (last - first)
            self._places[key] = places
        return self._places[key]

    def pick(self, positions: Tensor | slice) -> "Pairs":
        """Return a selection of pairs in any order."""
        return Pairs((), (0,), self.rows[positions], self.owners[positions])

    def take(self, positions: Tensor) -> "Pairs":
        """Return a selection of pairs that is sorted by feature as well."""
        owners = self.owners[positions]
        starts = np.searchsorted(array_of(owners), np.array([*self.features, 1 << 62]))
        return Pairs(self.features, tuple(starts.tolist()), self.rows[positions], owners)


def pairs_of(present: NDArray[np.bool_], features: tuple[int, ...]) -> Pairs:
    """Return the pairs of a block, given where the features are present, bool [features, rows]."""
    which, rows = np.nonzero(present)
    counts = np.bincount(which, minlength=len(features))
    starts = (0, *np.cumsum(counts).tolist())
    owners = np.array(features, dtype=np.int64)[which]
    return Pairs(features, starts, tensor_of(rows), tensor_of(owners))


def presence(examples: Examples) -> NDArray[np.bool_]:
    """Return where each feature differs from its baseline, bool [features, examples]."""
    schema = examples.schema
    present = np.zeros((len(schema.features), examples.count), dtype=np.bool_)
    columns = _packed(schema)
    for name, places in columns.items():
        positions, which, baselines = zip(*places, strict=True)
        array = examples.arrays[name]
        differs = array[:, list(which)] != np.array(baselines, dtype=np.float64).astype(array.dtype)
        present[list(positions)] = differs.T
    for j, feature in enumerate(schema.features):
        if isinstance(feature, Group) or feature.column is None:
            present[j] = examples.present(feature)
    return present


def _packed(schema: Schema) -> dict[str, list[tuple[int, int, float]]]:
    """Return the features of each packed input, but for groups: position, column, baseline."""
    places: dict[str, list[tuple[int, int, float]]] = {}
    for j, feature in enumerate(schema.features):
        if isinstance(feature, Feature) and feature.column is not None:
            places.setdefault(feature.input, []).append((j, feature.column, feature.baseline))
    return places
