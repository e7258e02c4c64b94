"""Which elements of a step's row belong to one feature alone, and how they change.

Features that are neighbours in the order of pairs and own equally many elements make a *stretch*:
what is done to their elements is one tensor operation for all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from services.attribution.engine.pairs import Pairs

Columns = slice | Tensor
"""Elements of a row: a slice if they lie side by side."""


@dataclass(frozen=True)
class Stretch:
    """Some neighbours among the features in play."""

    first: int
    last: int
    """Positions of the first, and after the last."""
    columns: Tensor
    """[features, columns]: the elements that each owns."""
    sources: Tensor | None
    """[features, columns]: which of a feature's values goes to each; None: one each, in order."""
    count: int
    """Values of each feature."""
    tile: slice | None
    """All columns, if they lie side by side in order."""

    def span(self, pairs: Pairs) -> slice:
        """Return the range of the features' pairs."""
        return slice(pairs.starts[self.first], pairs.starts[self.last])

    def of(self, position: int) -> Columns:
        """Return the elements that one of the features owns, counted from the first."""
        if self.tile is None:
            return self.columns[position]
        width = self.columns.shape[1]
        start: int = self.tile.start + position * width
        return slice(start, start + width)

    def owned(self, matrix: Tensor, pairs: Pairs) -> Tensor:
        """Return of `[rows or 1, width]` what each pair's feature owns, `[pairs, columns]`."""
        some = matrix[:, self.tile] if self.tile else matrix[:, self.columns.reshape(-1)]
        by_feature = some.reshape(-1, self.columns.shape[1])
        places = pairs.places(self.first, self.last, of_rows=len(matrix) > 1)
        return by_feature.index_select(0, places)

    def spread(self, values: Tensor, pairs: Pairs) -> Tensor:
        """Return a value per column, given `[pairs, values]`."""
        if self.sources is None:
            return values
        return values.gather(1, self.sources[pairs.places(self.first, self.last, of_rows=False)])


@dataclass(frozen=True)
class Layout:
    """Where the elements that belong to a feature alone lie, by feature."""

    columns: Mapping[int, Columns]
    sources: Mapping[int, Tensor] | None = None
    """Which of the feature's values goes to each of its columns; None: one each, in order."""
    counts: Mapping[int, int] = field(default_factory=dict)
    """How many values a feature has, where that is not one for each of its columns."""
    _stretches: dict[tuple[int, ...], Sequence[Stretch]] = field(default_factory=dict)

    def count(self, feature: int) -> int:
        """Return how many values a feature has."""
        return self.counts.get(feature) or len(positions_of(self.columns[feature]))

    def stretches(self, features: tuple[int, ...]) -> Sequence[Stretch]:
        """Return the features that own something as few stretches."""
        if features not in self._stretches:
            self._stretches[features] = [
                self._stretch(features, first, last) for first, last in self._ranges(features)
            ]
        return self._stretches[features]

    def _ranges(self, features: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        first, known = 0, None
        for k, feature in enumerate([*features, -1]):
            size = self._size(feature)
            if size != known:
                if known is not None:
                    yield first, k
                first, known = k, size

    def _size(self, feature: int) -> tuple[int, int] | None:
        if feature not in self.columns:
            return None
        return self.count(feature), len(positions_of(self.columns[feature]))

    def _stretch(self, features: tuple[int, ...], first: int, last: int) -> Stretch:
        some = features[first:last]
        columns = torch.stack([positions_of(self.columns[j]) for j in some])
        sources = None if self.sources is None else torch.stack([self.sources[j] for j in some])
        start, end = int(columns[0, 0]), int(columns[-1, -1]) + 1
        is_tile = columns.reshape(-1).equal(torch.arange(start, start + columns.numel()))
        tile = slice(start, end) if is_tile else None
        return Stretch(first, last, columns, sources, self.count(some[0]), tile)


@dataclass(frozen=True)
class Own:
    """Changes at the columns of the pair's own feature."""

    layout: Layout
    values: Sequence[Tensor]
    """[pairs, values] by stretch."""

    def by_stretch(self, pairs: Pairs) -> Iterator[tuple[Stretch, Tensor]]:
        """Yield each stretch with its values."""
        return zip(self.layout.stretches(pairs.features), self.values, strict=True)

    def by_feature(self, pairs: Pairs) -> Iterator[tuple[int, int, Tensor]]:
        """Yield feature, its first pair and its values, if it has pairs."""
        for stretch, values in self.by_stretch(pairs):
            start = pairs.starts[stretch.first]
            for k in range(stretch.first, stretch.last):
                here, end = pairs.starts[k], pairs.starts[k + 1]
                if here < end:
                    yield pairs.features[k], here, values[here - start : end - start]

    def within(self, pairs: Pairs, first: int, last: int) -> Tensor | None:
        """Return the values of neighbours that lie in one stretch; None: they own nothing."""
        for stretch, values in self.by_stretch(pairs):
            if stretch.first <= first and last <= stretch.last:
                start = pairs.starts[stretch.first]
                return values[pairs.starts[first] - start : pairs.starts[last] - start]
        return None


def laid_out(layout: Layout, pairs: Pairs, parts: Sequence[Own]) -> Own:
    """Return the values of all parts, one after the other for each feature, in another layout."""
    cuts = sorted({0, len(pairs.features)} | _cuts(layout, parts, pairs))
    joined: list[list[Tensor]] = []
    for stretch in layout.stretches(pairs.features):
        pieces = []
        for first, last in pairwise(cuts):
            if stretch.first <= first and last <= stretch.last:
                found = [part.within(pairs, first, last) for part in parts]
                sides = [values for values in found if values is not None]
                pieces.append(sides[0] if len(sides) == 1 else torch.cat(sides, dim=1))
        joined.append(pieces)
    return Own(layout, [p[0] if len(p) == 1 else torch.cat(p) for p in joined])


def _cuts(layout: Layout, parts: Sequence[Own], pairs: Pairs) -> set[int]:
    layouts = [layout, *(part.layout for part in parts)]
    stretches = [s for some in layouts for s in some.stretches(pairs.features)]
    return {s.first for s in stretches} | {s.last for s in stretches}


def columns_of(positions: Tensor) -> Columns:
    """Return rising positions as columns."""
    if int(positions[-1]) - int(positions[0]) + 1 == len(positions):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def positions_of(columns: Columns) -> Tensor:
    """Return columns as positions."""
    if isinstance(columns, slice):
        return torch.arange(columns.start, columns.stop)
    return columns
