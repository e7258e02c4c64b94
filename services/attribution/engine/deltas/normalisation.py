"""Layer normalisation of what changes."""

import torch
from torch import Tensor

from services.attribution.engine.deltas.call import Call


def layer_norm(call: Call) -> Tensor:
    """Centred changes and the change of the inverse deviation, both without cancellation.

    With c the centred value, v its variance, r = 1 / sqrt(v + e): dc = dx - mean(dx),
    dv = mean(dc (2 c + dc)), dr = -r r' dv / (1 / r + 1 / r'), and the answer's change is
    `w (c dr + dc r')`.
    """
    value, delta = call.operand(0).value, call.delta(0)
    shape, weight, epsilon = call.constant(1), call.option(2, "weight"), call.option(4, "eps", 1e-5)
    dims = list(range(delta.dim() - len(shape), delta.dim()))
    centred = value - value.mean(dims, keepdim=True)
    variance = centred.square().mean(dims, keepdim=True)
    change = delta - delta.mean(dims, keepdim=True)
    of_variance = (change * (2 * centred + change)).mean(dims, keepdim=True)
    inverse, of_inverse = inverse_change(variance, of_variance, epsilon)
    answer = centred * of_inverse + change * (inverse + of_inverse)
    return answer if weight is None else answer * weight


def inverse_change(variance: Tensor, change: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Return `r = 1 / sqrt(v + e)` and its change when v changes."""
    deviation = torch.sqrt(variance + epsilon)
    changed = torch.sqrt((variance + change).clamp(min=0) + epsilon)
    return 1 / deviation, -change / (deviation * changed * (deviation + changed))


RULES = {"layer_norm": layer_norm, "native_layer_norm": layer_norm}
