"""Elementwise functions of one operand."""

import torch
from torch import Tensor

from services.attribution.engine.deltas.call import Call


def relu(call: Call) -> Tensor:
    """`max(dx + min(x, 0), -max(x, 0))`: exact wherever the unit stays on."""
    value, delta = call.operand(0).value, call.delta(0)
    change: Tensor = torch.maximum(delta + value.clamp(max=0), -value.clamp(min=0))
    return change


def leaky_relu(call: Call) -> Tensor:
    """`s x + (1 - s) relu(x)`."""
    slope = call.option(1, "negative_slope", 0.01)
    change: Tensor = slope * call.delta(0) + (1 - slope) * relu(call)
    return change


def clamp(call: Call) -> Tensor:
    """`min(max(x, low), high)`, by the distance of `x` from both bounds."""
    low, high = _bounds(call)
    value, delta = call.operand(0).value, call.delta(0)
    held = value.clamp(low, high)
    answer = delta + (value - held)
    if low is not None:
        answer = torch.maximum(answer, low - held)
    return answer if high is None else torch.minimum(answer, high - held)


def exponential(call: Call) -> Tensor:
    """`e^x (e^dx - 1)`."""
    return torch.exp(call.operand(0).value) * torch.expm1(call.delta(0))


def logarithm(call: Call) -> Tensor:
    """`log(1 + dx / x)`."""
    return torch.log1p(call.delta(0) / call.operand(0).value)


def logarithm_1p(call: Call) -> Tensor:
    """`log(1 + dx / (1 + x))`."""
    return torch.log1p(call.delta(0) / (1 + call.operand(0).value))


def sigmoid(call: Call) -> Tensor:
    """`s(x + dx) - s(x)`, to a few roundings of the result."""
    return sigmoid_change(call.operand(0).value, call.delta(0))


def tanh(call: Call) -> Tensor:
    """`tanh(x) = 2 s(2 x) - 1`."""
    return 2 * sigmoid_change(2 * call.operand(0).value, 2 * call.delta(0))


def silu(call: Call) -> Tensor:
    """`x s(x)`: `dx s(x + dx) + x ds`."""
    value, delta = call.operand(0).value, call.delta(0)
    return delta * torch.sigmoid(value + delta) + value * sigmoid_change(value, delta)


def sigmoid_change(value: Tensor, delta: Tensor) -> Tensor:
    """`-sign(d) expm1(-|d|) s(max(x, x + d)) s(-min(x, x + d))`, without cancellation."""
    moved = value + delta
    size = -torch.expm1(-delta.abs()) * torch.sign(delta)
    upper = torch.sigmoid(torch.maximum(value, moved))
    return size * upper * torch.sigmoid(-torch.minimum(value, moved))


def difference(call: Call) -> Tensor:
    """Subtract; accurate to a rounding of the function's value. The same bits give zero."""
    return call.difference()


def _bounds(call: Call) -> tuple[float | None, float | None]:
    match call.step.operator:
        case "relu6":
            return 0.0, 6.0
        case "hardtanh":
            return call.option(1, "min_val", -1.0), call.option(2, "max_val", 1.0)
        case "clamp_min":
            return call.option(1, "min"), None
        case "clamp_max":
            return None, call.option(1, "max")
        case _:
            return call.option(1, "min"), call.option(2, "max")


RULES = {
    "relu": relu,
    "leaky_relu": leaky_relu,
    **dict.fromkeys(("relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"), clamp),
    "exp": exponential,
    "log": logarithm,
    "log1p": logarithm_1p,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "silu": silu,
    **dict.fromkeys(
        [
            "gelu",
            "elu",
            "selu",
            "celu",
            "softplus",
            "mish",
            "softsign",
            "hardsigmoid",
            "hardswish",
            "abs",
            "sin",
            "cos",
            "atan",
            "erf",
            "log_sigmoid",
            "rsqrt",
            "maximum",
            "minimum",
            "expm1",
            "softmax",
            "_softmax",
            "log_softmax",
            "nan_to_num",
            "amax",
            "amin",
        ],
        difference,
    ),
}
