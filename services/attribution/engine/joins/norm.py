"""Layer normalisation where features meet: affine in two numbers per pair."""

import torch
from torch import Tensor

from services.attribution.engine.deltas.normalisation import inverse_change
from services.attribution.engine.joins.site import Site
from services.attribution.engine.ownership import Own
from services.attribution.engine.structure import Delta, NoStructure, Part, Term


def layer_norm(site: Site) -> Delta:
    """With c the centred row, r its inverse deviation and m' the change of its mean, the answer

    changes by `w (c dr - m' (r + dr))` everywhere and `w dx (r + dr)` at the feature's columns.
    """
    step, delta = site.step, site.changing(0)
    own = delta.own
    if own is None or delta.terms or own.layout.sources is not None:
        raise NoStructure("not a concatenation")
    if step.shape is None or list(step.arguments[1]) != list(step.shape):
        raise NoStructure("normalised over a part of the row")
    weight = site.constant(2)
    epsilon = step.arguments[4] if len(step.arguments) > 4 else 1e-5
    value = site.flat(step.arguments[0].index)
    centred = value - value.mean(1, keepdim=True)
    variance = centred.square().mean(1)
    sums, squares = _sums(delta, own, centred)
    mean = sums / delta.width
    of_variance = squares / delta.width - mean.square()
    rows = delta.pairs.rows
    inverse, of_inverse = inverse_change(variance[rows], of_variance, epsilon)
    changed = (inverse + of_inverse).unsqueeze(1)
    ones: Tensor = site.remembered("ones", lambda: torch.ones(1, delta.width))
    scale: Tensor = site.remembered("scale", lambda: _row(weight, ones))
    bias: Tensor = site.remembered("bias", lambda: _row(site.constant(3), torch.zeros_like(ones)))
    spread = centred * scale
    terms = (
        Term(of_inverse.unsqueeze(1), ones, spread, is_uniform=True),
        Term(-mean.unsqueeze(1) * changed, ones, scale, is_uniform=True),
    )
    parts = (Part(torch.rsqrt(variance + epsilon).unsqueeze(1), spread), Part(None, bias))
    values = [
        v * stretch.owned(scale, delta.pairs) * changed[stretch.span(delta.pairs)]
        for stretch, v in own.by_stretch(delta.pairs)
    ]
    return Delta(delta.pairs, delta.width, terms, Own(own.layout, values), parts)


def _sums(delta: Delta, own: Own, centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of `dx` and of `dx (2 c + dx)` of every pair, `[pairs]`."""
    sums, squares = torch.zeros(delta.pairs.count), torch.zeros(delta.pairs.count)
    for stretch, values in own.by_stretch(delta.pairs):
        some = stretch.span(delta.pairs)
        around = stretch.owned(centred, delta.pairs)
        torch.sum(values, 1, out=sums[some])
        torch.sum(values * (2 * around + values), 1, out=squares[some])
    return sums, squares


def _row(parameter: Tensor | None, default: Tensor) -> Tensor:
    return default if parameter is None else parameter.reshape(1, -1).clone()
