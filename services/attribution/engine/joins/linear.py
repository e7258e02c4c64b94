"""Linear maps of structured deltas: one small product per feature or per row."""

import math

import torch
from torch import Tensor

from services.attribution.engine.certainty import sure
from services.attribution.engine.joins.site import Site
from services.attribution.engine.structure import Columns, Delta, NoStructure, Own, Term, plain

_SPREADS = frozenset({"mul", "add", "sub"})
"""Users that keep a wide change as amounts and a matrix."""

_CHUNKED = frozenset({"relu"})
"""Users that write a change out chunk by chunk, where adding to it is cheap."""

_COLUMNS_AT_ONCE = 128

_PAIRS_AT_ONCE = 256

_VECTORS_AT_ONCE = 2048

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
    later: list[Term] = []
    can_wait = _users_are(site, _CHUNKED)
    for term in delta.terms:
        if can_wait and term.is_uniform:
            later.append(_mapped_uniform(site, term, matrix))
        else:
            _add_term(site, term, delta, matrix, answer)
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


def _add_term(site: Site, term: Term, delta: Delta, matrix: Tensor, answer: Tensor) -> None:
    rank, rows = term.amounts.shape[1], delta.pairs.rows
    if term.factor is None or len(term.factor) == 1:
        answer.addmm_(term.amounts, _remembered_map(site, term, matrix))
    elif rank == 1:
        spread = term.factor if term.matrix is None else term.factor * term.matrix
        answer.addcmul_(term.amounts, (spread @ matrix)[rows])
    elif matrix.shape[1] <= _NARROW:
        _add_by_row_vectors(term, term.factor, rows, matrix, answer)
    else:
        _add_by_row(site, term, delta, matrix, answer)


def _add_by_row_vectors(
    term: Term, factors: Tensor, rows: Tensor, matrix: Tensor, answer: Tensor
) -> None:
    """Add `amounts @ (M diag(factor_i) w)` for each of a few columns w."""
    for column in range(matrix.shape[1]):
        vectors = factors * matrix[:, column]
        vectors = vectors if term.matrix is None else vectors @ term.matrix.t()
        for start in range(0, len(rows), _VECTORS_AT_ONCE):
            some = slice(start, start + _VECTORS_AT_ONCE)
            change = vectors[rows[some]].mul_(term.amounts[some]).sum(1)
            answer[some, column] += change


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


def _add_by_row(site: Site, term: Term, delta: Delta, matrix: Tensor, answer: Tensor) -> None:
    """Add `amounts @ (M diag(factor_i) W)`: a map of its own for each row."""
    if not _is_worth_maps(site, term, matrix):
        _add_written_out(term, delta, matrix, answer)
        return
    maps = _maps_by_row(site, term, sure(term.factor), matrix)
    order, starts = delta.pairs.by_row(site.rows)
    for row in range(site.rows):
        positions = order[starts[row] : starts[row + 1]]
        if len(positions):
            part = term.amounts.index_select(0, positions) @ maps[row]
            answer.index_add_(0, positions, part)


def _is_worth_maps(site: Site, term: Term, matrix: Tensor) -> bool:
    """Return whether a map per row is less work than writing the change out for every pair."""
    pairs, rank = term.amounts.shape
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


def _maps_by_row(site: Site, term: Term, factors: Tensor, matrix: Tensor) -> Tensor:
    """Return `M diag(factor_i) W` of every row, `[rows, rank, width]`.

    As one product of the factors with all products of an element of M and one of W, some columns
    of the row at a time.
    """
    spread = torch.eye(len(matrix)) if term.matrix is None else term.matrix
    rank, width = len(spread), matrix.shape[1]
    maps = site.scratch.matrix("maps", site.rows, rank * width).zero_()
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
