"""Linear maps of structured deltas: one small product per feature or per row."""

import math
from typing import Any

import torch
from torch import Tensor

from services.attribution.engine.joins.site import Site
from services.attribution.engine.structure import Columns, Delta, NoStructure, Own, Term, plain

_SPREADS = frozenset({"mul", "add", "sub"})


def linear(site: Site) -> Delta:
    """`x W^T + b`."""
    weight: Tensor = site.constant(1)
    return _mapped(site, site.changing(0), weight.t())


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
        if width > 2 * delta.width and _is_spread(site):
            return Delta(delta.pairs, width, (Term(amounts, matrix),))
        return plain(delta.pairs, amounts @ matrix)
    answer = site.scratch.matrix(("mapped", site.step.index), delta.pairs.count, width)
    if delta.own is None:
        answer.zero_()
    else:
        _add_own(site, delta.own, delta, matrix, answer)
    for position, term in enumerate(delta.terms):
        _add_term(site, position, term, delta, matrix, answer)
    return plain(delta.pairs, answer)


def _is_spread(site: Site) -> bool:
    users = site.graph.users(site.step.index)
    return bool(users) and all(user.operator in _SPREADS for user in users)


def _add_own(site: Site, own: Own, delta: Delta, matrix: Tensor, answer: Tensor) -> None:
    weights: dict[int, Tensor] = site.remembered(("own", id(own.layout)), dict)
    rows = own.layout.columns
    for feature, start, end in delta.pairs.spans():
        if feature not in rows:
            answer[start:end].zero_()
            continue
        if feature not in weights:
            count = own.values[feature].shape[1]
            weights[feature] = _part(matrix, own, feature, count)
        torch.mm(own.values[feature], weights[feature], out=answer[start:end])


def _part(matrix: Tensor, own: Own, feature: int, count: int) -> Tensor:
    """Return what the values of a feature are multiplied by: `[values, width]`."""
    columns: Columns = own.layout.columns[feature]
    picked = matrix[columns]
    if own.layout.sources is None:
        return picked.contiguous()
    total = matrix.new_zeros((count, matrix.shape[1]))
    return total.index_add_(0, own.layout.sources[feature], picked)


def _add_term(
    site: Site, position: int, term: Term, delta: Delta, matrix: Tensor, answer: Tensor
) -> None:
    rank, rows = term.amounts.shape[1], delta.pairs.rows
    if term.factor is None or len(term.factor) == 1:
        answer.addmm_(term.amounts, _constant_map(term, matrix))
    elif rank == 1:
        spread: Any = term.factor if term.matrix is None else term.factor * term.matrix
        answer.addcmul_(term.amounts, (spread @ matrix)[rows])
    else:
        _add_by_row(term, delta, matrix, answer)


def _constant_map(term: Term, matrix: Tensor) -> Tensor:
    spread = term.matrix
    if term.factor is None:
        return matrix if spread is None else spread @ matrix
    return term.factor.t() * matrix if spread is None else (spread * term.factor) @ matrix


def _add_by_row(term: Term, delta: Delta, matrix: Tensor, answer: Tensor) -> None:
    """Add `amounts @ (M diag(factor_i) W)`: a map of its own for each row."""
    assert term.factor is not None
    order, starts = delta.pairs.by_row(len(term.factor))
    for row in range(len(term.factor)):
        positions = order[starts[row] : starts[row + 1]]
        if len(positions) == 0:
            continue
        scaled = matrix * term.factor[row].unsqueeze(1)
        own_map = scaled if term.matrix is None else term.matrix @ scaled
        part = term.amounts.index_select(0, positions) @ own_map
        answer.index_add_(0, positions, part)
