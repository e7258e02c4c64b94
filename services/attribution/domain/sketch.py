"""What the values of a batch look like: per feature, small, and made to be added up.

A *distribution* is one quantity of one feature. They are in the order of the schema's features, and
within a feature numbers come before ids. Counted are the examples that are not at the baseline. The
contract says which value falls into which bucket: a number by its sign and the twelve leading bits
of its float32, an id by the six leading bits of a product. A group has no value of its own, and so
no distributions: only its examples at the baseline are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Feature, Group, Schema
from services.attribution.domain.example import Examples
from services.attribution.domain.quantities import (
    NUMBERS,
    WITH_IDS,
    WITHOUT_CORRELATION,
    ids_of,
    numbers_of,
    present_in,
)
from services.attribution.domain.runs import Ragged, Runs, counted, ragged, stacked

MOST_HITTERS = 16
"""Ids of a distribution that are told."""
RAREST = 256
"""An id that occurs less than once in so many examples of its batch is not told."""
FURTHEST = 2040
"""The bucket of infinity, and of what is not a number."""
_ABSENT = np.int16(np.iinfo(np.int16).max)
_ID_BUCKETS = 64
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class ValueSketch:
    """Of a batch of N examples with M features: D distributions, P of them with a correlation.

    `baseline_counts` uint32 [M]; `buckets`: D rows of int16; `hitters`: the most frequent ids, a
    row of int64 for each distribution of ids; `moments` float64 [P, 3].
    """

    baseline_counts: NDArray[np.uint32]
    buckets: Ragged
    hitters: Ragged
    moments: NDArray[np.float64]


@dataclass(frozen=True)
class ValueCounts:
    """A sketch that waits for the predictions: `proxies` float32 [P, N]."""

    baseline_counts: NDArray[np.uint32]
    buckets: Ragged
    hitters: Ragged
    proxies: NDArray[np.float32]

    def sketch(self, predictions: NDArray[np.float32]) -> ValueSketch:
        """Return the sketch of examples with these predictions, [N].

        Moments are each proxy's mean over all examples, the sum of its squared deviations, and the
        sum of products with the predictions' deviations.
        """
        values = self.proxies.astype(np.float64)
        means = values.mean(axis=1)
        values -= means[:, np.newaxis]
        p = predictions.astype(np.float64)
        squares = np.einsum("pn,pn->p", values, values)
        moments = np.stack([means, squares, values @ (p - p.mean())], axis=1)
        return ValueSketch(self.baseline_counts, self.buckets, self.hitters, moments)


@dataclass(frozen=True)
class Sketcher:
    """Counts the values of examples of one schema."""

    schema: Schema

    def __call__(self, examples: Examples) -> ValueCounts:
        """Return what can be counted before the examples are scored."""
        values, present = self._numbers(examples)
        ids = stacked([ids_of(examples, f) for _, f in self._single if f.kind in WITH_IDS])
        heavy = ids.where(ids.counts * RAREST >= examples.count).most_frequent(MOST_HITTERS)
        id_count = len(self._with_ids)
        numbers, hashed = _bucketed(values, present), _hashed(ids, id_count)
        return ValueCounts(
            baseline_counts=self._baseline_counts(examples, present, ids),
            buckets=ragged([(numbers, self._places[0]), (hashed, self._places[1])]),
            hitters=ragged([(heavy, np.arange(id_count))]),
            proxies=values[self._proxies],
        )

    @cached_property
    def _single(self) -> Sequence[tuple[int, Feature]]:
        """The features that are no groups, with their places."""
        features = enumerate(self.schema.features)
        return [(j, feature) for j, feature in features if isinstance(feature, Feature)]

    @cached_property
    def _groups(self) -> Sequence[tuple[int, Group]]:
        """The groups, with their places among the features."""
        features = enumerate(self.schema.features)
        return [(j, feature) for j, feature in features if isinstance(feature, Group)]

    @cached_property
    def _with_numbers(self) -> NDArray[np.intp]:
        """Whose each row of numbers is."""
        return np.array([j for j, f in self._single for _ in range(NUMBERS[f.kind])], dtype=np.intp)

    @cached_property
    def _with_ids(self) -> NDArray[np.intp]:
        """Whose each row of ids is."""
        return np.array([j for j, f in self._single if f.kind in WITH_IDS], dtype=np.intp)

    @cached_property
    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Places of the rows of numbers, and of those of ids, among all distributions."""
        owners = np.concatenate([self._with_numbers, self._with_ids])
        places = np.argsort(np.argsort(owners, kind="stable"))
        count = len(self._with_numbers)
        return places[:count], places[count:]

    @cached_property
    def _proxies(self) -> NDArray[np.intp]:
        """Rows of the numbers that have a correlation."""
        kinds = [f.kind for _, f in self._single for _ in range(NUMBERS[f.kind])]
        return np.flatnonzero([kind not in WITHOUT_CORRELATION for kind in kinds])

    def _numbers(self, examples: Examples) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the numbers, [rows, N], and which are not of an example at the baseline."""
        shape = len(self._with_numbers), examples.count
        values, present = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.bool_)
        row = 0
        for _, feature in self._single:
            first = row
            for numbers in numbers_of(examples, feature) if NUMBERS[feature.kind] else ():
                values[row] = numbers
                row += 1
            if row > first:
                present[first:row] = present_in(examples, feature, values[first])
        return values, present

    def _baseline_counts(
        self, examples: Examples, present: NDArray[np.bool_], ids: Runs
    ) -> NDArray[np.uint32]:
        counts = np.zeros(len(self.schema.features), dtype=np.int64)
        counts[self._with_ids] = ids.totals(len(self._with_ids))
        # Ids of a list may be several an example: its numbers tell how many examples.
        counts[self._with_numbers] = np.count_nonzero(present, axis=1)
        for j, group in self._groups:
            counts[j] = examples.present(group).sum()
        return np.asarray(examples.count - counts, dtype=np.uint32)


def _bucketed(values: NDArray[np.float32], present: NDArray[np.bool_]) -> Runs:
    """Return how often each bucket occurs among the numbers that are present, [rows, N]."""
    magnitudes = (values.view(np.uint32) & np.uint32(0x7FFF_FFFF)) >> np.uint32(20)
    buckets = np.minimum(magnitudes, FURTHEST).astype(np.int16)
    np.negative(buckets, out=buckets, where=np.signbit(values))
    buckets[~present] = _ABSENT
    # Stable means by radix for sixteen bits.
    buckets.sort(axis=1, kind="stable")
    found = counted(buckets)
    return found.where(found.keys != _ABSENT)


def _hashed(ids: Runs, row_count: int) -> Runs:
    """Return how often each of the buckets of ids occurs."""
    buckets = (ids.keys.view(np.uint64) * _MULTIPLIER) >> np.uint64(58)
    cells = ids.rows * _ID_BUCKETS + buckets.astype(np.intp)
    totals = np.bincount(cells, weights=ids.counts, minlength=row_count * _ID_BUCKETS)
    filled = np.flatnonzero(totals)
    keys = (filled % _ID_BUCKETS).astype(np.int16)
    return Runs(filled // _ID_BUCKETS, keys, totals[filled].astype(np.intp))
