"""Elements that move, and their structured deltas with them."""

import math
from typing import Any

import torch
from torch import Tensor

from services.attribution.engine.certainty import sure
from services.attribution.engine.graph import Ref
from services.attribution.engine.joins.site import Site
from services.attribution.engine.ownership import (
    Layout,
    Own,
    columns_of,
    laid_out,
    positions_of,
)
from services.attribution.engine.structure import Delta, NoStructure, Term


def move(site: Site) -> Delta:
    """Each operand's elements go to their places; what comes from nowhere else stays unchanged."""
    step = site.step
    if step.shape is None:
        raise NoStructure("several answers")
    references = list(dict.fromkeys(i for i in step.inputs if site.delta(i) is not None))
    if not references:
        raise NoStructure("nothing changes")
    parts = [_moved(site, index, len(references) > 1) for index in references]
    if len(parts) == 1:
        return parts[0]
    own = [p.own for p in parts if p.own is not None]
    terms = tuple(t for p in parts for t in p.terms)
    joint = _joined(site, parts[0], own) if own else None
    return Delta(parts[0].pairs, parts[0].width, terms, joint)


def _moved(site: Site, index: int, is_one_of_many: bool) -> Delta:
    delta = site.delta(index)
    delta = sure(delta)
    origin = site.remembered(("origin", index), lambda: _origin(site, index))
    width = len(origin)
    if width == delta.width and bool((origin == torch.arange(width)).all()):
        return Delta(delta.pairs, width, delta.terms, delta.own)
    plain = delta.plain
    if plain is not None and not bool((origin < 0).any()) and not is_one_of_many:
        return Delta(delta.pairs, width, (Term(plain[:, origin]),))
    if plain is not None:
        return Delta(delta.pairs, width, (), _as_own(site, index, delta, plain, origin))
    own = delta.own
    if own is not None:
        before = own.layout
        layout = site.remembered(("layout", index, id(before)), lambda: _layout(before, origin))
        own = laid_out(layout, delta.pairs, [own])
    return Delta(delta.pairs, width, tuple(_spread(t, origin) for t in delta.terms), own)


def _origin(site: Site, index: int) -> Tensor:
    """Return the element of the operand that each element of the answer is; -1: of none."""
    step = site.step

    def marked(argument: Any) -> Any:
        if isinstance(argument, list):
            return [marked(a) for a in argument]
        if not isinstance(argument, Ref):
            return argument
        if argument.index in site.graph.constants:
            return site.graph.constants[argument.index]
        shape = site.graph.shape_of(argument.index)
        if shape is None:
            return 1 if isinstance(site.values[argument.index], int) else None
        places = torch.arange(math.prod(shape)).reshape(1, *shape)
        return places if argument.index == index else torch.full_like(places, -1)

    keywords = {k: v for k, v in step.keywords.items() if k != "dtype"}
    moved: Tensor = step.target(*[marked(a) for a in step.arguments], **keywords)
    return moved.reshape(-1)


def _layout(layout: Layout, origin: Tensor) -> Layout:
    """Return where each feature's columns went."""
    columns, sources = {}, {}
    trivial = layout.sources is None
    for feature, before in layout.columns.items():
        positions = positions_of(before)
        rank = torch.full((int(max(int(origin.max()), int(positions.max()))) + 2,), -1)
        rank[positions] = torch.arange(len(positions))
        which = rank[origin]
        kept = torch.nonzero(which >= 0).reshape(-1)
        if len(kept) == 0:
            continue
        columns[feature] = columns_of(kept)
        values = which[kept]
        sources[feature] = values if layout.sources is None else layout.sources[feature][values]
        is_same = len(kept) == len(positions) and bool((values == torch.arange(len(kept))).all())
        trivial = trivial and is_same
    counts = {j: layout.count(j) for j in columns}
    return Layout(columns, None if trivial else sources, {} if trivial else counts)


def _as_own(site: Site, index: int, delta: Delta, plain: Tensor, origin: Tensor) -> Own:
    """Return a written-out change in a part of the row: every feature owns that part."""

    def layout() -> Layout:
        kept = torch.nonzero(origin >= 0).reshape(-1)
        columns, sources = columns_of(kept), origin[kept]
        features = delta.pairs.features
        is_same = sources.tolist() == list(range(delta.width))
        return Layout(
            dict.fromkeys(features, columns),
            None if is_same else dict.fromkeys(features, sources),
            {} if is_same else dict.fromkeys(features, delta.width),
        )

    made = site.remembered(("placed", index), layout)
    return Own(made, [plain])


def _spread(term: Term, origin: Tensor) -> Term:
    found = origin >= 0
    inner = term.matrix
    if inner is None:
        inner = torch.eye(term.amounts.shape[1])
    matrix = torch.where(found, inner[:, origin.clamp(min=0)], 0.0)
    factor = None if term.factor is None else term.factor[:, origin.clamp(min=0)]
    return Term(term.amounts, matrix, factor, scale=term.scale)


def _joined(site: Site, delta: Delta, parts: list[Own]) -> Own:
    """Return one own change of several that share no column of a feature."""
    if len(parts) == 1:
        return parts[0]
    layout = site.remembered(
        ("joined", *(id(p.layout) for p in parts)), lambda: _joined_layout(parts)
    )
    return laid_out(layout, delta.pairs, parts)


def _joined_layout(parts: list[Own]) -> Layout:
    columns, sources, counts = {}, {}, {}
    for j in sorted({j for p in parts for j in p.layout.columns}):
        offset, places, picked = 0, [], []
        for part in parts:
            if j not in part.layout.columns:
                continue
            positions = positions_of(part.layout.columns[j])
            source = (
                torch.arange(len(positions))
                if part.layout.sources is None
                else part.layout.sources[j]
            )
            places.append(positions)
            picked.append(source + offset)
            offset += part.layout.count(j)
        order = torch.argsort(torch.cat(places))
        columns[j] = columns_of(torch.cat(places)[order])
        sources[j] = torch.cat(picked)[order]
        counts[j] = offset
    return Layout(columns, sources, counts)
