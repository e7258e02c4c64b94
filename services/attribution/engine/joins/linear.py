"""Linear maps of structured deltas: one small product per feature or per row."""

import math
from functools import partial

import torch
from torch import Tensor

from services.attribution.engine.joins import maps
from services.attribution.engine.joins.site import Site
from services.attribution.engine.ownership import Own, Stretch
from services.attribution.engine.structure import Delta, NoStructure, Term, plain

_SPREADS = frozenset({"mul", "add", "sub"})
"""Users that keep a wide change as amounts and a matrix."""

_CHUNKED = frozenset({"relu"})
"""Users that write a change out chunk by chunk, where adding to it is cheap."""


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
    maps.add_terms(site, now, delta, matrix, answer)
    return Delta(delta.pairs, width, (Term(answer), *later))


def _users_are(site: Site, operators: frozenset[str]) -> bool:
    users = site.graph.users(site.step.index)
    return bool(users) and all(user.operator in operators for user in users)


def _add_own(site: Site, own: Own, delta: Delta, matrix: Tensor, answer: Tensor) -> None:
    pairs = delta.pairs
    if sum(len(values) for values in own.values) < pairs.count:
        answer.zero_()
    for number, (stretch, values) in enumerate(own.by_stretch(pairs)):
        weights: Tensor = site.remembered(
            ("own", id(own.layout), number), partial(_weights, matrix, stretch)
        )
        if matrix.shape[1] == 1:
            places = pairs.places(stretch.first, stretch.last, of_rows=False)
            picked = weights.squeeze(2).index_select(0, places)
            torch.sum(values * picked, 1, keepdim=True, out=answer[stretch.span(pairs)])
            continue
        start = pairs.starts[stretch.first]
        for k in range(stretch.first, stretch.last):
            here, end = pairs.starts[k], pairs.starts[k + 1]
            part, weight = values[here - start : end - start], weights[k - stretch.first]
            torch.mm(part, weight, out=answer[here:end])


def _weights(matrix: Tensor, stretch: Stretch) -> Tensor:
    """Return what the values of each feature are multiplied by: `[features, values, width]`."""
    picked = matrix[stretch.columns]
    if stretch.sources is None:
        return picked
    total = matrix.new_zeros((len(picked), stretch.count, matrix.shape[1]))
    return total.scatter_add_(1, stretch.sources.unsqueeze(2).expand_as(picked), picked)


def _mapped_uniform(site: Site, term: Term, matrix: Tensor) -> Term:
    """Return a change by one amount, mapped: still one amount, times a row's own vector."""
    ones = site.remembered("ones", lambda: torch.ones(1, matrix.shape[1]))
    if term.factor is None:
        raise NoStructure("a change by the same amount everywhere")
    return Term(term.amounts, ones, term.factor @ matrix, is_uniform=True)
