"""Elementwise sums and products of structured deltas."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from services.attribution.engine.certainty import sure
from services.attribution.engine.graph import Ref
from services.attribution.engine.joins.site import Site
from services.attribution.engine.ownership import Layout, Own, Stretch
from services.attribution.engine.structure import Delta, NoStructure, Term, merged


def add(site: Site) -> Delta:
    """`x + y`."""
    return _combined(site, 1.0)


def subtract(site: Site) -> Delta:
    """`x - y`."""
    return _combined(site, -1.0)


def multiply(site: Site) -> Delta:
    """`x y`: each change times the other's value, plus the product of the changes."""
    first, second = _sides(site)
    if first is None or second is None:
        delta = second if first is None else first
        other = site.value(0 if first is None else 1)
        delta = sure(delta)
        return _scaled(site, delta, _as_factor(site, other, delta.width))
    one, two = _own_value(site, 0), _own_value(site, 1)
    terms = [*_times_value(first, second, two), *_times_value(second, first, one)]
    terms += [_product(a, b) for a in first.terms for b in second.terms]
    own = _own_product(first, second, one, two)
    return Delta(first.pairs, first.width, merged(terms), own)


def batch_norm(site: Site) -> Delta:
    """A scale per element, if rows are vectors."""
    if site.step.shape is None or len(site.step.shape) != 1:
        raise NoStructure("channels")
    is_composite = site.step.operator == "batch_norm"
    if is_composite and site.constant(5):
        raise NoStructure("statistics of the batch")
    weight, variance = site.constant(1), site.constant(4)
    epsilon = site.constant(7 if is_composite else 6)
    scale = torch.rsqrt(variance + epsilon)
    scale = scale if weight is None else scale * weight
    return _scaled(site, site.changing(0), scale.unsqueeze(0))


def _sides(site: Site) -> tuple[Delta | None, Delta | None]:
    one, two = site.step.arguments[:2]
    first = site.delta(one.index) if isinstance(one, Ref) else None
    second = site.delta(two.index) if isinstance(two, Ref) else None
    shape = site.step.shape
    if shape is None:
        raise NoStructure("no rows")
    for argument, delta in ((one, first), (two, second)):
        if delta is not None and site.graph.shape_of(argument.index) != shape:
            raise NoStructure("a change is broadcast")
    return first, second


def _combined(site: Site, sign: float) -> Delta:
    scale = sign * site.step.keywords.get("alpha", 1)
    first, second = _sides(site)
    if second is not None and scale != 1:
        second = _times(second, scale)
    if first is None or second is None:
        only = second if first is None else first
        return sure(only)
    own = _own_sum(first.own, second.own)
    terms = (*first.terms, *second.terms)
    written = [t.amounts for t in terms if t.is_plain]
    if len(written) > 1:
        spread = [t for t in terms if not t.is_plain]
        terms = (*spread, Term(torch.stack(written).sum(0)))
    return Delta(first.pairs, first.width, merged(terms), own)


def _times(delta: Delta, scale: float) -> Delta:
    own = delta.own and Own(delta.own.layout, [v * scale for v in delta.own.values])
    terms = tuple(replace(t, amounts=t.amounts * scale) for t in delta.terms)
    return Delta(delta.pairs, delta.width, terms, own)


def _as_factor(site: Site, value: Any, width: int) -> Tensor:
    """Return an unchanged operand as `[rows or 1, width]`."""
    shape = site.step.shape
    shape = sure(shape)
    if not isinstance(value, Tensor):
        return torch.full((1, width), float(value))
    if value.dim() <= len(shape):
        return torch.broadcast_to(value, shape).reshape(1, -1).to(torch.float32)
    return torch.broadcast_to(value, (site.rows, *shape)).reshape(site.rows, -1)


def _own_value(site: Site, position: int) -> Tensor:
    return site.flat(site.step.arguments[position].index)


def _scaled(site: Site, delta: Delta, factor: Tensor) -> Delta:
    own = delta.own
    if own is not None:
        own = Own(
            own.layout if own.layout.sources is None else _spread_layout(site, own),
            [
                stretch.spread(values, delta.pairs) * stretch.owned(factor, delta.pairs)
                for stretch, values in own.by_stretch(delta.pairs)
            ],
        )
    return Delta(delta.pairs, delta.width, tuple(t.scaled(factor) for t in delta.terms), own)


def _spread_layout(site: Site, own: Own) -> Layout:
    """Return the same places for values that are no longer shared by columns."""
    layout: Layout = site.remembered(("spread", id(own.layout)), lambda: Layout(own.layout.columns))
    return layout


def _times_value(delta: Delta, other: Delta, value: Tensor) -> list[Term]:
    """Return a change times the other's value, by the parts of that where they are known.

    A change of several amounts is cheaper to map on if rows differ by few factors.
    """
    terms = []
    for term in delta.terms:
        if not other.parts or term.factor is not None or term.is_plain:
            terms.append(term.scaled(value))
            continue
        for part in other.parts:
            scaled = term if part.scale is None else term.times(part.scale[delta.pairs.rows])
            terms.append(scaled.scaled(part.factor))
    return terms


def _product(first: Term, second: Term) -> Term:
    """Return the product of two changes, one of which has a single amount."""
    if first.amounts.shape[1] != 1:
        first, second = second, first
    if first.amounts.shape[1] != 1 or first.matrix is None:
        raise NoStructure("a product of two changes of full rank")
    joint = second.times(first.amounts)
    if first.scale is not None:
        joint = joint.times(first.scale)
    if not first.is_uniform:
        joint = joint.scaled(first.matrix)
    return joint if first.factor is None else joint.scaled(first.factor)


def _own_sum(first: Own | None, second: Own | None) -> Own | None:
    if first is None or second is None:
        return second if first is None else first
    if first.layout is not second.layout:
        raise NoStructure("features lie elsewhere")
    return Own(first.layout, [a + b for a, b in zip(first.values, second.values, strict=True)])


def _own_product(first: Delta, second: Delta, one: Tensor, two: Tensor) -> Own | None:
    """Return `dx (y + dy) + (x + terms of dx) dy` at each feature's own columns."""
    if first.own is None and second.own is None:
        return None
    if first.own and second.own and first.own.layout is not second.own.layout:
        raise NoStructure("features lie elsewhere")
    layout = (first.own or second.own).layout  # type: ignore[union-attr]
    if layout.sources is not None:
        raise NoStructure("values are shared by columns")
    values = []
    for k, stretch in enumerate(layout.stretches(first.pairs.features)):
        total: Tensor | None = None
        if first.own is not None:
            other = _value_at(stretch, two, second)
            if second.own is not None:
                other = other + second.own.values[k]
            total = first.own.values[k] * other
        if second.own is not None:
            change = _value_at(stretch, one, first) * second.own.values[k]
            total = change if total is None else total + change
        values.append(sure(total))
    return Own(layout, values)


def _value_at(stretch: Stretch, value: Tensor, delta: Delta) -> Tensor:
    """Return a value plus what the terms of its change make, at a stretch's columns."""
    before, change = stretch.owned(value, delta.pairs), delta.terms_at(stretch)
    return before if change is None else before + change
