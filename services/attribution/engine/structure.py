"""Deltas of joint steps without writing them out.

For the pair p of feature j and row i, a step of `width` elements changes by

    sum over terms k of   scale_k[p] (amounts_k[p] @ matrix_k) * factor_k[i]    everywhere, and
    values_j[p]                                                    at the columns of feature j.

Linear maps, sums and products with unchanged values keep that form, so that a concatenation, a
normalisation or a cross layer of ten thousand elements costs what the few that change cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from services.attribution.engine.certainty import sure
from services.attribution.engine.ownership import Own, Stretch
from services.attribution.engine.pairs import Pairs


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

    def at(self, some: slice, rows: Tensor) -> Tensor:
        """Return the change of some pairs, given the rows that they are of."""
        change = self.amounts[some]
        if self.matrix is not None:
            change = change @ self.matrix
        if self.factor is not None:
            change = change * (self.factor if len(self.factor) == 1 else self.factor[rows])
        return change if self.scale is None else change * self.scale[some]

    def scaled(self, factor: Tensor) -> "Term":
        """Return the change times a value per row, `[rows or 1, width]`."""
        joint = factor if self.factor is None else self.factor * factor
        return replace(self, factor=joint)

    def times(self, number: Tensor) -> "Term":
        """Return the change times a number per pair, `[pairs, 1]`."""
        return replace(self, scale=number if self.scale is None else self.scale * number)


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
            total += term.at(everything, self.pairs.rows)
        if self.own is not None:
            for stretch, values in self.own.by_stretch(self.pairs):
                columns = stretch.columns[
                    self.pairs.places(stretch.first, stretch.last, of_rows=False)
                ]
                spread = stretch.spread(values, self.pairs)
                total[stretch.span(self.pairs)].scatter_add_(1, columns, spread)
        return total

    def terms_at(self, stretch: Stretch) -> Tensor | None:
        """Return what the terms make of a stretch's pairs at its columns; None: nothing."""
        mapped: dict[tuple[int, int], Tensor] = {}
        total: Tensor | None = None
        for term in self.terms:
            key = (id(term.amounts), id(term.matrix))
            if key not in mapped:
                mapped[key] = self._mapped_at(term, stretch)
            change = mapped[key]
            if term.factor is not None:
                change = change * stretch.owned(term.factor, self.pairs)
            if term.scale is not None:
                change = change * term.scale[stretch.span(self.pairs)]
            total = change if total is None else total + change
        return total

    def _mapped_at(self, term: Term, stretch: Stretch) -> Tensor:
        """Return `amounts @ matrix` of a stretch's pairs at its columns."""
        pairs = self.pairs
        some = stretch.span(pairs)
        amounts = term.amounts[some]
        if term.is_uniform:
            return amounts
        if term.matrix is None:
            places = pairs.places(stretch.first, stretch.last, of_rows=False)
            return amounts.gather(1, stretch.columns[places])
        answer = amounts.new_empty(len(amounts), stretch.columns.shape[1])
        for k in range(stretch.first, stretch.last):
            here = slice(pairs.starts[k] - some.start, pairs.starts[k + 1] - some.start)
            weights = term.matrix[:, stretch.of(k - stretch.first)]
            torch.mm(amounts[here], weights, out=answer[here])
        return answer


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
