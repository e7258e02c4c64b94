"""Layer normalisation where features meet: affine in two numbers per pair."""

import torch
from torch import Tensor

from services.attribution.engine.deltas.normalisation import inverse_change
from services.attribution.engine.joins.site import Site
from services.attribution.engine.structure import Columns, Delta, NoStructure, Own, Term


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
    scale = torch.ones(1, delta.width) if weight is None else weight.reshape(1, -1)
    ones = site.remembered("ones", lambda: torch.ones(1, delta.width))
    terms = (
        Term(of_inverse.unsqueeze(1), ones, centred * scale),
        Term(-mean.unsqueeze(1) * changed, ones, scale),
    )
    values = {
        feature: own.values[feature] * _at(scale, own.layout.columns[feature]) * changed[start:end]
        for feature, start, end in delta.pairs.spans()
        if feature in own.values
    }
    return Delta(delta.pairs, delta.width, terms, Own(own.layout, values))


def _sums(delta: Delta, own: Own, centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums of `dx` and of `dx (2 c + dx)` of every pair, `[pairs]`."""
    sums, squares = torch.zeros(delta.pairs.count), torch.zeros(delta.pairs.count)
    for feature, start, end in delta.pairs.spans():
        if feature not in own.values:
            continue
        values = own.values[feature]
        around = centred[:, own.layout.columns[feature]].index_select(
            0, delta.pairs.rows[start:end]
        )
        torch.sum(values, 1, out=sums[start:end])
        torch.sum(values * (2 * around + values), 1, out=squares[start:end])
    return sums, squares


def _at(scale: Tensor, columns: Columns) -> Tensor:
    return scale[:, columns]
