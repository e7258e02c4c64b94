"""Deltas of joint steps without writing them out.

For the pair p of feature j and row i, a step of `width` elements changes by

    sum over terms k of   scale_k[p] (amounts_k[p] @ matrix_k) * factor_k[i]    everywhere, and
    values_j[p]                                                    at the columns of feature j.

Linear maps, sums and products with unchanged values keep that form, so that a concatenation, a
normalisation or a cross layer of ten thousand elements costs what the few that change cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from services.attribution.engine.certainty import sure
from services.attribution.engine.pairs import Pairs

Columns = slice | Tensor
"""Elements of a row: a slice if they lie side by side."""


class NoStructure(Exception):
    """The change can't be kept in this form."""


@dataclass(frozen=True)
class Term:
    """A change of all elements: a few amounts per pair, spread by a matrix, scaled per row."""

    amounts: Tensor
    """[pairs, rank]"""
    matrix: Tensor | None = None
    """[rank, width], the same for all rows; None: the identity."""
    factor: Tensor | None = None
    """[rows or 1, width]; None: 1."""
    is_uniform: bool = False
    """Whether the matrix is a row of ones: one amount for all elements."""
    scale: Tensor | None = None
    """[pairs, 1], kept apart so that terms share their amounts; None: 1."""

    @property
    def is_plain(self) -> bool:
        """Whether the amounts are the change itself."""
        return self.matrix is None and self.factor is None and self.scale is None

    def at(self, span: slice, columns: Columns, rows: Tensor) -> Tensor:
        """Return the change of some pairs at some columns."""
        amounts = (
            self.amounts[span] if self.scale is None else self.amounts[span] * self.scale[span]
        )
        change = amounts[:, columns] if self.matrix is None else amounts @ self.matrix[:, columns]
        if self.factor is None:
            return change
        return change * _rows_of(self.factor, rows)[:, columns]

    def scaled(self, factor: Tensor) -> "Term":
        """Return the change times a value per row, `[rows or 1, width]`."""
        joint = factor if self.factor is None else self.factor * factor
        return replace(self, factor=joint)

    def times(self, number: Tensor) -> "Term":
        """Return the change times a number per pair, `[pairs, 1]`."""
        return replace(self, scale=number if self.scale is None else self.scale * number)


@dataclass(frozen=True)
class Layout:
    """Where the elements that belong to a feature alone lie, by feature."""

    columns: Mapping[int, Columns]
    sources: Mapping[int, Tensor] | None = None
    """Which of the feature's values goes to each of its columns; None: one each, in order."""
    counts: Mapping[int, int] = field(default_factory=dict)
    """How many values a feature has, where that is not one for each of its columns."""

    def count(self, feature: int) -> int:
        """Return how many values a feature has."""
        return self.counts.get(feature) or len(positions_of(self.columns[feature]))


@dataclass(frozen=True)
class Own:
    """Changes at the columns of the pair's own feature."""

    layout: Layout
    values: Mapping[int, Tensor]
    """[pairs of the feature, values] by feature."""

    def spread(self, feature: int) -> Tensor:
        """Return the changes of a feature's pairs at its columns."""
        sources = self.layout.sources
        values = self.values[feature]
        return values if sources is None else values[:, sources[feature]]


@dataclass(frozen=True)
class Part:
    """A part of an unchanged value: a number per row times a factor that terms use as well."""

    scale: Tensor | None
    """[rows, 1]; None: 1."""
    factor: Tensor
    """[rows or 1, width]"""


@dataclass(frozen=True)
class Delta:
    """The change of a step for every pair."""

    pairs: Pairs
    width: int
    terms: Sequence[Term] = ()
    own: Own | None = None
    parts: Sequence[Part] = ()
    """What the unchanged value is made of, if a rule knows: their sum is the value."""

    @property
    def plain(self) -> Tensor | None:
        """Return the change written out, if it is at hand."""
        if self.own is None and len(self.terms) == 1 and self.terms[0].is_plain:
            return self.terms[0].amounts
        return None

    @property
    def base(self) -> Tensor | None:
        """Return what is written out of the change, the other terms being one amount per pair."""
        if self.own is not None or not self.terms or not self.terms[0].is_plain:
            return None
        is_rest_uniform = all(
            t.is_uniform and t.factor is not None and t.scale is None for t in self.terms[1:]
        )
        return self.terms[0].amounts if is_rest_uniform else None

    def ready(self) -> "Delta":
        """Return the change in a form that has a base."""
        return self if self.base is not None else plain(self.pairs, self.dense())

    def dense(self) -> Tensor:
        """Return the change written out, `[pairs, width]`."""
        plain = self.plain
        if plain is not None:
            return plain
        everything = slice(0, self.pairs.count)
        total = self.pairs.rows.new_zeros((self.pairs.count, self.width), dtype=torch.float32)
        for term in self.terms:
            total += term.at(everything, slice(None), self.pairs.rows)
        if self.own is not None:
            for feature, start, end in self.pairs.spans():
                if feature in self.own.layout.columns:
                    total[start:end, self.own.layout.columns[feature]] += self.own.spread(feature)
        return total

    def terms_at(self, start: int, end: int, columns: Columns) -> Tensor | None:
        """Return what the terms make of some pairs at some columns; None: nothing."""
        rows = self.pairs.rows[start:end]
        total: Tensor | None = None
        for term in self.terms:
            change = term.at(slice(start, end), columns, rows)
            total = change if total is None else total + change
        return total


def merged(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Return terms with those summed that differ in their scales, or in their factors, alone."""
    return _summed_factors(_summed_scales(terms))


def _summed_scales(terms: Sequence[Term]) -> Sequence[Term]:
    alike: dict[tuple[int, int, int], Term] = {}
    for term in terms:
        key = (id(term.amounts), id(term.matrix), id(term.factor))
        known = alike.get(key)
        if known is None:
            alike[key] = term
        else:
            alike[key] = replace(known, scale=_or_one(known.scale) + _or_one(term.scale))
    return tuple(alike.values())


def _summed_factors(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Sum the factors of uniform terms: a sum per row is cheaper than one per pair."""
    alike: dict[tuple[int, int], Term] = {}
    others = []
    for term in terms:
        key = (id(term.amounts), id(term.scale))
        if not term.is_uniform or term.factor is None:
            others.append(term)
        elif key not in alike:
            alike[key] = term
        else:
            alike[key] = replace(term, factor=sure(alike[key].factor) + term.factor)
    return (*alike.values(), *others)


def _or_one(scale: Tensor | None) -> Tensor:
    return torch.ones(()) if scale is None else scale


def plain(pairs: Pairs, change: Tensor) -> Delta:
    """Return a change that is written out already, `[pairs, ...]`."""
    flat = change.reshape(pairs.count, -1)
    return Delta(pairs, flat.shape[1], (Term(flat),))


def _rows_of(factor: Tensor, rows: Tensor) -> Tensor:
    return factor if len(factor) == 1 else factor[rows]


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
