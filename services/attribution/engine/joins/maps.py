"""How the terms of a change pass a linear map: `scale_p amounts_p @ (M diag(factor_i) W)`.

With few amounts per pair it is less work to make the whole map of each row than to write the change
out. Terms of the same amounts share one product with all of their maps side by side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.attribution.engine.joins.site import Site
from services.attribution.engine.structure import Delta, Term

_ROWS_AT_ONCE = 16

_COLUMNS_AT_ONCE = 256

_PAIRS_AT_ONCE = 4096
"""So many pairs' amounts and products stay in the cache."""

_WIDE_PAIRS_AT_ONCE = 256

_LARGEST_MAP = 1 << 15
"""Elements of a row's own map: more would not fit the cache."""

_NARROW = 4
"""Up to this width a map per row is a vector for each column."""


@dataclass(frozen=True)
class _Mapped:
    """Terms of the same amounts, with their maps side by side."""

    terms: Sequence[Term]
    maps: Tensor
    """[rows or 1, rank, terms * width]"""

    @property
    def amounts(self) -> Tensor:
        return self.terms[0].amounts


def add_terms(
    site: Site, terms: Sequence[Term], delta: Delta, matrix: Tensor, answer: Tensor
) -> None:
    """Add what the terms of a change make of `x @ matrix` to the answer, `[pairs, width]`."""
    alike: dict[int, list[tuple[Term, Tensor]]] = {}
    single: list[tuple[Term, Tensor]] = []
    for number, term in enumerate(terms):
        if not _is_worth_maps(site, term, matrix):
            _add_written_out(term, delta, matrix, answer)
            continue
        made = term, _map_of(site, term, matrix, number)
        if term.amounts.shape[1] == 1:
            single.append(made)
        else:
            alike.setdefault(id(term.amounts), []).append(made)
    mapped = [_side_by_side(some) for some in alike.values()]
    if single:
        mapped.append(_one_below_the_other(single))
    _add_in_order([m for m in mapped if len(m.maps) == 1], answer)
    _add_by_row(site, [m for m in mapped if len(m.maps) > 1], delta, answer)


def _side_by_side(some: Sequence[tuple[Term, Tensor]]) -> _Mapped:
    rows = max(len(made) for _, made in some)
    maps = [made.expand(rows, -1, -1) for _, made in some]
    return _Mapped([term for term, _ in some], maps[0] if len(maps) == 1 else torch.cat(maps, 2))


def _one_below_the_other(some: Sequence[tuple[Term, Tensor]]) -> _Mapped:
    """Return terms of a single amount as one of several amounts."""
    rows = max(len(made) for _, made in some)
    amounts = [t.amounts if t.scale is None else t.amounts * t.scale for t, _ in some]
    maps = [made.expand(rows, -1, -1) for _, made in some]
    return _Mapped([Term(torch.cat(amounts, 1))], torch.cat(maps, 1))


def _add_in_order(mapped: Sequence[_Mapped], answer: Tensor) -> None:
    """Add terms whose maps are those of all rows."""
    for one in mapped:
        for start in range(0, len(answer), _PAIRS_AT_ONCE):
            some = slice(start, start + _PAIRS_AT_ONCE)
            _add_scaled(one.terms, one.amounts[some] @ one.maps[0], some, answer[some])


def _add_by_row(site: Site, mapped: Sequence[_Mapped], delta: Delta, answer: Tensor) -> None:
    """Add terms with maps for each row, some rows at a time."""
    if not mapped:
        return
    order, starts = delta.pairs.by_row(site.rows)
    for first, last in _rows_at_once(starts):
        positions = order[starts[first] : starts[last]]
        sizes = [starts[r + 1] - starts[r] for r in range(first, last)]
        total = site.scratch.matrix("by row", len(positions), answer.shape[1]).zero_()
        for one in mapped:
            amounts = one.amounts.index_select(0, positions)
            width = one.maps.shape[2]
            products = site.scratch.matrix("products by row", len(positions), width)
            parts = (
                torch.split(amounts, sizes),
                one.maps[first:last].unbind(),
                torch.split(products, sizes),
            )
            for part, made, product in zip(*parts, strict=True):
                torch.mm(part, made, out=product)
            _add_scaled(one.terms, products, positions, total)
        answer.index_add_(0, positions, total)


def _rows_at_once(starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    first, rows = 0, len(starts) - 1
    for row in range(1, rows + 1):
        if row == rows or starts[row + 1] - starts[first] > _PAIRS_AT_ONCE:
            yield first, row
            first = row


def _add_scaled(
    terms: Sequence[Term], products: Tensor, some: slice | Tensor, answer: Tensor
) -> None:
    """Add the products of some pairs, those of each term times its scale."""
    parts = torch.split(products, answer.shape[1], dim=1)
    for term, part in zip(terms, parts, strict=True):
        if term.scale is None:
            answer.add_(part)
        else:
            scale = term.scale
            chosen = scale[some] if isinstance(some, slice) else scale.index_select(0, some)
            answer.addcmul_(part, chosen)


def _map_of(site: Site, term: Term, matrix: Tensor, number: int) -> Tensor:
    """Return `M diag(factor_i) W`, `[rows or 1, rank, width]`."""
    factor = term.factor
    if factor is None or len(factor) == 1:
        return _remembered_map(site, term, matrix).unsqueeze(0)
    if term.amounts.shape[1] == 1:
        spread = None if term.is_uniform else term.matrix
        return ((factor if spread is None else factor * spread) @ matrix).unsqueeze(1)
    if matrix.shape[1] <= _NARROW:
        return _vectors_by_row(term, factor, matrix)
    return _maps_by_row(site, term, factor, matrix, number)


def _vectors_by_row(term: Term, factors: Tensor, matrix: Tensor) -> Tensor:
    """Return the maps of every row, one product for each column."""
    vectors = [factors * column for column in matrix.t()]
    if term.matrix is not None:
        vectors = [v @ term.matrix.t() for v in vectors]
    return torch.stack(vectors, dim=2)


def _remembered_map(site: Site, term: Term, matrix: Tensor) -> Tensor:
    if not (site.memory.is_lasting(term.matrix) and site.memory.is_lasting(term.factor)):
        return _constant_map(term, matrix)
    key = ("map", id(term.matrix), id(term.factor))
    answer: Tensor = site.remembered(key, lambda: _constant_map(term, matrix))
    return answer


def _constant_map(term: Term, matrix: Tensor) -> Tensor:
    spread = term.matrix
    if term.factor is None:
        return matrix if spread is None else spread @ matrix
    return term.factor.t() * matrix if spread is None else (spread * term.factor) @ matrix


def _is_worth_maps(site: Site, term: Term, matrix: Tensor) -> bool:
    """Return whether maps are less work than writing the change out for every pair."""
    if term.factor is None or len(term.factor) == 1 or matrix.shape[1] <= _NARROW:
        return True
    pairs, rank = term.amounts.shape
    if rank == 1:
        return True
    width, columns = matrix.shape[1], len(matrix)
    by_maps = site.rows * rank * columns * width + pairs * rank * width
    spread = 0 if term.matrix is None else rank * columns
    return rank * width <= _LARGEST_MAP and by_maps < pairs * (spread + columns * width)


def _add_written_out(term: Term, delta: Delta, matrix: Tensor, answer: Tensor) -> None:
    """Add a change that is written out for some pairs at a time."""
    rows = delta.pairs.rows
    for start in range(0, len(rows), _WIDE_PAIRS_AT_ONCE):
        some = slice(start, min(start + _WIDE_PAIRS_AT_ONCE, len(rows)))
        answer[some].addmm_(term.at(some, rows[some]), matrix)


def _maps_by_row(site: Site, term: Term, factors: Tensor, matrix: Tensor, number: int) -> Tensor:
    """Return `M diag(factor_i) W` of every row, `[rows, rank, width]`.

    Some rows and some columns at a time, so that `M diag(factor_i)` is made and used in the cache.
    """
    spread: Tensor = torch.eye(len(matrix)) if term.matrix is None else term.matrix
    rank, width = len(spread), matrix.shape[1]
    maps = site.scratch.matrix(("maps", number), site.rows * rank, width).zero_()
    for first in range(0, site.rows, _ROWS_AT_ONCE):
        last = min(first + _ROWS_AT_ONCE, site.rows)
        for start in range(0, len(matrix), _COLUMNS_AT_ONCE):
            some = slice(start, min(start + _COLUMNS_AT_ONCE, len(matrix)))
            scaled = site.scratch.matrix("scaled", (last - first) * rank, some.stop - start)
            here = scaled.view(last - first, rank, -1)
            torch.mul(
                spread[:, some].unsqueeze(0), factors[first:last, some].unsqueeze(1), out=here
            )
            maps[first * rank : last * rank].addmm_(scaled, matrix[some])
    return maps.view(site.rows, rank, width)
