"""How the terms of a change pass a linear map: `scale_p amounts_p @ (M diag(factor_i) W)`.

With few amounts per pair it is less work to make the whole map of each row than to write the change
out. Maps that all rows share are applied to the pairs as they lie, those of a row to its pairs.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from services.attribution.engine.joins.site import Site
from services.attribution.engine.structure import Delta, Term

_ELEMENTS_AT_ONCE = 1 << 18
"""So many amounts, or products, stay in the cache."""

_ROWS_AT_ONCE = 16

_WIDE_PAIRS_AT_ONCE = 256

_LARGEST_MAP = 1 << 15
"""Elements of a row's own map: more would not fit the cache."""

_NARROW = 4
"""Up to this width a map per row is a vector for each column."""

_Mapped = tuple[Term, Tensor]
"""A term and its map, `[rows or 1, rank, width]`."""


def add_terms(
    site: Site, terms: Sequence[Term], delta: Delta, matrix: Tensor, answer: Tensor
) -> None:
    """Add what the terms of a change make of `x @ matrix` to the answer, `[pairs, width]`."""
    by_row: list[_Mapped] = []
    for number, term in enumerate(terms):
        if not _is_worth_maps(site, term, matrix):
            _add_written_out(term, delta, matrix, answer)
            continue
        made = _map_of(site, term, matrix, number)
        if len(made) == 1:
            _add_shared(term, made[0], answer)
        elif term.amounts.shape[1] == 1:
            _add_single(site, term, made.squeeze(1), delta, answer)
        else:
            by_row.append((term, made))
    if by_row:
        _add_by_row(site, by_row, delta, answer)


def _add_shared(term: Term, made: Tensor, answer: Tensor) -> None:
    """Add a term whose map is that of all rows."""
    for some in _at_once(len(answer), len(made)):
        if term.scale is None:
            answer[some].addmm_(term.amounts[some], made)
        else:
            answer[some].addcmul_(term.amounts[some] @ made, term.scale[some])


def _add_single(site: Site, term: Term, vectors: Tensor, delta: Delta, answer: Tensor) -> None:
    """Add a term of one amount, each row's map of which is a vector, `[rows, width]`."""
    rows, width = delta.pairs.rows, answer.shape[1]
    for some in _at_once(len(answer), width):
        here = rows[some]
        picked = site.scratch.matrix("single", len(here), width)
        torch.index_select(vectors, 0, here, out=picked)
        amounts = term.amounts[some]
        answer[some].addcmul_(picked, amounts if term.scale is None else amounts * term.scale[some])


def _add_by_row(site: Site, mapped: Sequence[_Mapped], delta: Delta, answer: Tensor) -> None:
    """Add terms with maps for each row, some rows at a time."""
    order, starts = delta.pairs.by_row(site.rows)
    most = max(answer.shape[1], *(made.shape[1] for _, made in mapped))
    for first, last in _rows_at_once(starts, _ELEMENTS_AT_ONCE // most):
        begin = starts[first]
        positions = order[begin : starts[last]]
        total = site.scratch.matrix("by row", len(positions), answer.shape[1]).zero_()
        for term, made in mapped:
            amounts = site.scratch.matrix("amounts by row", len(positions), made.shape[1])
            torch.index_select(term.amounts, 0, positions, out=amounts)
            if term.scale is not None:
                amounts.mul_(term.scale.index_select(0, positions))
            for row in range(first, last):
                some = slice(starts[row] - begin, starts[row + 1] - begin)
                total[some].addmm_(amounts[some], made[row])
        answer.index_add_(0, positions, total)


def _at_once(count: int, width: int) -> Iterator[slice]:
    some = max(1, _ELEMENTS_AT_ONCE // width)
    for start in range(0, count, some):
        yield slice(start, min(start + some, count))


def _rows_at_once(starts: Sequence[int], pairs: int) -> Iterator[tuple[int, int]]:
    first, rows = 0, len(starts) - 1
    for row in range(1, rows + 1):
        if row == rows or starts[row + 1] - starts[first] > pairs:
            yield first, row
            first = row


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
    columns = matrix.t()
    if term.matrix is None:
        return torch.stack([factors * column for column in columns], dim=2)
    return torch.stack([factors @ (term.matrix * column).t() for column in columns], dim=2)


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
    for some in _at_once(len(matrix), _ROWS_AT_ONCE * rank):
        # A transposed matrix lies in memory by its columns: it is turned once for all rows.
        part = spread[:, some].contiguous()
        for first in range(0, site.rows, _ROWS_AT_ONCE):
            last = min(first + _ROWS_AT_ONCE, site.rows)
            scaled = site.scratch.matrix("scaled", (last - first) * rank, part.shape[1])
            here = scaled.view(last - first, rank, -1)
            torch.mul(part, factors[first:last, some].unsqueeze(1), out=here)
            maps[first * rank : last * rank].addmm_(scaled, matrix[some])
    return maps.view(site.rows, rank, width)
