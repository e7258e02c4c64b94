"""Encoded examples and their ablation."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import AnyFeature, Feature, Group, Schema


@dataclass(frozen=True)
class Examples:
    """A batch as a program takes it: each input an array `[N, *shape]` of the schema's dtype."""

    schema: Schema
    arrays: Mapping[str, NDArray[np.generic]]

    @property
    def count(self) -> int:
        """Number of examples, N."""
        return len(self.arrays[self.schema.inputs[0].name])

    def arguments(self) -> list[NDArray[np.generic]]:
        """Return the arrays in the program's argument order."""
        return [self.arrays[spec.name] for spec in self.schema.inputs]

    def take(self, rows: NDArray[np.intp]) -> "Examples":
        """Return copies of the given rows."""
        return Examples(self.schema, {name: a[rows] for name, a in self.arrays.items()})

    def part(self, start: int, stop: int) -> "Examples":
        """Return the rows from `start` to before `stop`, as views."""
        if start <= 0 and stop >= self.count:
            return self
        return Examples(self.schema, {name: a[start:stop] for name, a in self.arrays.items()})

    def present(self, feature: AnyFeature) -> NDArray[np.bool_]:
        """Return which examples' encoded value differs from the feature's baseline, bool [N].

        Where it does not, ablation changes nothing and the importance is exactly zero. Of a group,
        the value of any member.
        """
        present = np.zeros(self.count, dtype=np.bool_)
        for column in feature.members:
            for name in column.inputs:
                present |= self._differs(name, column)
        return present

    def present_counts(self) -> NDArray[np.int64]:
        """Return how many examples each feature differs from its baseline in, [M]."""
        row = self.schema.baseline_row()
        packed = {column.input for column in self.schema.columns if column.column is not None}
        by_column = {n: np.count_nonzero(self.arrays[n] != row[n], axis=0) for n in packed}

        def count_of(feature: AnyFeature) -> int:
            if isinstance(feature, Group) or feature.column is None:
                return int(self.present(feature).sum())
            return int(by_column[feature.input][feature.column])

        return np.array([count_of(f) for f in self.schema.features], dtype=np.int64)

    def ablated(self, features: Iterable[AnyFeature]) -> "Examples":
        """Return the examples with the features at their baselines, all together."""
        wanted = list(features)
        touched = {n for feature in wanted for c in feature.members for n in c.inputs}
        copies = {name: a.copy() if name in touched else a for name, a in self.arrays.items()}
        ablated = Examples(self.schema, copies)
        for feature in wanted:
            ablated.ablate_rows(feature, slice(None))
        return ablated

    def without_ids(self, feature: Feature, ids: Collection[int]) -> "Examples":
        """Return the examples with some ids left out of a feature's lists, those behind moved up.

        Lists that hold nothing else become empty ones, which is the feature's baseline.
        """
        lists = self.arrays[feature.input]
        masked = np.isin(lists, np.fromiter(ids, np.int64, len(ids)))
        order = np.argsort(masked, axis=1, kind="stable")
        behind = np.take_along_axis(masked, order, axis=1)
        changed = dict(self.arrays)
        for name in feature.inputs:
            changed[name] = np.take_along_axis(self.arrays[name], order, axis=1)
            changed[name][behind] = 0
        return Examples(self.schema, changed)

    def ablate_rows(self, feature: AnyFeature, rows: slice) -> None:
        """Put the feature of some rows at its baseline, in place."""
        for column in feature.members:
            for name in column.inputs:
                array = self.arrays[name]
                place = array if column.column is None else array[:, column.column]
                place[rows] = column.baseline

    def padded(self, count: int) -> "Examples":
        """Return `count` examples: these, and the last one again as often as it takes."""
        rows = np.minimum(np.arange(count), self.count - 1)
        return self if count == self.count else self.take(rows)

    def _differs(self, name: str, feature: Feature) -> NDArray[np.bool_]:
        array = self.arrays[name]
        values = array if feature.column is None else array[:, feature.column]
        differs = np.asarray(values != feature.baseline)
        return np.asarray(differs.reshape(len(differs), -1).any(axis=1), dtype=np.bool_)
