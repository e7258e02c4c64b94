"""Linear maps of structured deltas: one small product per feature or per row."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from services.attribution.engine.joins.site import Site
from services.attribution.engine.structure import Columns, Delta, NoStructure, Own, Term, plain

_SPREADS = frozenset({"mul", "add", "sub"})
"""Users that keep a wide change as amounts and a matrix."""

_CHUNKED = frozenset({"relu"})
"""Users that write a change out chunk by chunk, where adding to it is cheap."""

_COLUMNS_AT_ONCE = 128

_PAIRS_AT_ONCE = 256

_LARGEST_MAP = 1 << 15
"""Elements of a row's own map: more would not fit the cache."""

_NARROW = 4
"""Up to this width a map per row is a vector for each column."""


def linear(site: Site) -> Delta:
    """`x W^T + b`."""
    weight: Tensor = site.constant(1)
    return _mapped(site, site.changing(0), site.remembered("transposed", weight.t))


def addmm(site: Site) -> Delta:
    """`b + x W`."""
    if site.step.keywords:
        raise NoStructure("a scaled bias")
    site.constant(0)
    return _mapped(site, site.changing(1), site.constant(2))


def reduce(site: Site) -> Delta:
    """Sums and means, as linear maps."""
    step = site.step
    dims = step.arguments[1] if len(step.arguments) > 1 else step.keywords.get("dim")
    source = site.graph.shape_of(step.arguments[0].index)
    delta = site.changing(0)
    if dims is None or source is None or step.shape is None or delta.plain is not None:
        raise NoStructure("a reduction over everything")
    wanted = {d % (len(source) + 1) for d in ([dims] if isinstance(dims, int) else dims)}
    if 0 in wanted or not wanted:
        raise NoStructure("a reduction over the batch")

    def matrix() -> Tensor:
        kept = [1 if d + 1 in wanted else size for d, size in enumerate(source)]
        target = torch.arange(math.prod(kept)).reshape(kept).expand(source).reshape(-1)
        spread = torch.zeros(math.prod(source), math.prod(kept))
        spread[torch.arange(len(target)), target] = 1.0
        count = math.prod(source) / math.prod(kept)
        return spread / count if step.operator == "mean" else spread

    return _mapped(site, delta, site.remembered("matrix", matrix))


def _mapped(site: Site, delta: Delta, matrix: Tensor) -> Delta:
    """Return the change of `x @ matrix`; the step's row has to be one vector."""
    if delta.width != len(matrix):
        raise NoStructure("a linear map of a matrix per row")
    amounts = delta.plain
    width = matrix.shape[1]
    if amounts is not None:
        if width > 2 * delta.width and _users_are(site, _SPREADS):
            return Delta(delta.pairs, width, (Term(amounts, matrix),))
        return plain(delta.pairs, amounts @ matrix)
    answer = site.scratch.matrix(("mapped", site.step.index), delta.pairs.count, width)
    if delta.own is None:
        answer.zero_()
    else:
        _add_own(site, delta.own, delta, matrix, answer)
    now: list[Term] = []
    later: list[Term] = []
    can_wait = _users_are(site, _CHUNKED)
    for term in delta.terms:
        if can_wait and term.is_uniform and term.scale is None:
            later.append(_mapped_uniform(site, term, matrix))
        else:
            now.append(term)
    _add_terms(site, now, delta, matrix, answer)
    return Delta(delta.pairs, width, (Term(answer), *later))


def _users_are(site: Site, operators: frozenset[str]) -> bool:
    users = site.graph.users(site.step.index)
    return bool(users) and all(user.operator in operators for user in users)


def _add_own(site: Site, own: Own, delta: Delta, matrix: Tensor, answer: Tensor) -> None:
    weights: dict[int, Tensor] = site.remembered(("own", id(own.layout)), dict)
    columns = own.layout.columns
    for feature, start, end in delta.pairs.spans():
        if feature not in columns:
            answer[start:end].zero_()
            continue
        if feature not in weights:
            weights[feature] = _part(matrix, own, feature)
        torch.mm(own.values[feature], weights[feature], out=answer[start:end])


def _part(matrix: Tensor, own: Own, feature: int) -> Tensor:
    """Return what the values of a feature are multiplied by: `[values, width]`."""
    columns: Columns = own.layout.columns[feature]
    picked = matrix[columns]
    if own.layout.sources is None:
        return picked.contiguous()
    total = matrix.new_zeros((own.layout.count(feature), matrix.shape[1]))
    return total.index_add_(0, own.layout.sources[feature], picked)


def _mapped_uniform(site: Site, term: Term, matrix: Tensor) -> Term:
    """Return a change by one amount, mapped: still one amount, times a row's own vector."""
    ones = site.remembered("ones", lambda: torch.ones(1, matrix.shape[1]))
    if term.factor is None:
        raise NoStructure("a change by the same amount everywhere")
    return Term(term.amounts, ones, term.factor @ matrix, is_uniform=True)


def _add_terms(
    site: Site, terms: Sequence[Term], delta: Delta, matrix: Tensor, answer: Tensor
) -> None:
    """Add `scale_p amounts_p @ (M diag(factor_i) W)` of every term."""
    mapped: list[tuple[Term, Tensor]] = []
    for term in terms:
        if _is_worth_maps(site, term, matrix):
            mapped.append((term, _map_of(site, term, matrix, len(mapped))))
        else:
            _add_written_out(term, delta, matrix, answer)
    if any(len(spread) > 1 for _, spread in mapped):
        _add_by_row(site, mapped, delta, answer)
        return
    for term, spread in mapped:
        amounts = term.amounts if term.scale is None else term.amounts * term.scale
        answer.addmm_(amounts, spread[0])


def _map_of(site: Site, term: Term, matrix: Tensor, number: int) -> Tensor:
    """Return `M diag(factor_i) W`, `[rows or 1, rank, width]`."""
    factor = term.factor
    if factor is None or len(factor) == 1:
        return _remembered_map(site, term, matrix).unsqueeze(0)
    if term.amounts.shape[1] == 1:
        spread = factor if term.matrix is None else factor * term.matrix
        return (spread @ matrix).unsqueeze(1)
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


def _add_by_row(
    site: Site, mapped: Sequence[tuple[Term, Tensor]], delta: Delta, answer: Tensor
) -> None:
    """Add the mapped terms row by row, so that their sum is made in the cache."""
    order, starts = delta.pairs.by_row(site.rows)
    for row in range(site.rows):
        positions = order[starts[row] : starts[row + 1]]
        if not len(positions):
            continue
        total = site.scratch.matrix("row", len(positions), answer.shape[1]).zero_()
        taken: dict[int, Tensor] = {}
        for term, maps in mapped:
            spread = maps[row if len(maps) > 1 else 0]
            amounts = _taken(taken, term.amounts, positions)
            if term.scale is None:
                total.addmm_(amounts, spread)
            else:
                total.addcmul_(amounts @ spread, _taken(taken, term.scale, positions))
        answer.index_add_(0, positions, total)


def _taken(taken: dict[int, Tensor], source: Tensor, positions: Tensor) -> Tensor:
    if id(source) not in taken:
        taken[id(source)] = source.index_select(0, positions)
    return taken[id(source)]


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
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(start, min(start + _PAIRS_AT_ONCE, len(rows)))
        answer[some].addmm_(term.at(some, slice(None), rows[some]), matrix)


def _maps_by_row(site: Site, term: Term, factors: Tensor, matrix: Tensor, number: int) -> Tensor:
    """Return `M diag(factor_i) W` of every row, `[rows, rank, width]`.

    As one product of the factors with all products of an element of M and one of W, some columns
    of the row at a time.
    """
    spread = torch.eye(len(matrix)) if term.matrix is None else term.matrix
    rank, width = len(spread), matrix.shape[1]
    maps = site.scratch.matrix(("maps", number), site.rows, rank * width).zero_()
    for start in range(0, len(matrix), _COLUMNS_AT_ONCE):
        some = slice(start, min(start + _COLUMNS_AT_ONCE, len(matrix)))
        products = site.scratch.matrix("products", some.stop - some.start, rank * width)
        torch.mul(
            spread[:, some].t().unsqueeze(2),
            matrix[some].unsqueeze(1),
            out=products.view(-1, rank, width),
        )
        maps.addmm_(factors[:, some], products)
    return maps.view(site.rows, rank, width)
