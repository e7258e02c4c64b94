"""Operators that are linear in what changes: a change passes like a value, without constants."""

from typing import Any

import torch
from torch import Tensor

from services.attribution.engine import operators
from services.attribution.engine.certainty import sure
from services.attribution.engine.deltas.call import Call, NoRule, Operand


def move(call: Call) -> Tensor:
    """Elements move, and their changes with them."""
    if call.step.operator == "view" and call.step.overload == "dtype":
        raise NoRule("bits are seen as another dtype")
    arguments = [_moved(a, call.rows) for a in call.arguments]
    moved: Tensor = call.step.target(*arguments, **call.step.keywords)
    return moved


def cast(call: Call) -> Tensor:
    """Keep the change; only between floating dtypes."""
    delta, dtype = call.delta(0), call.step.dtype
    if dtype is None or not dtype.is_floating_point:
        raise NoRule(f"cast to {dtype}")
    return delta.to(dtype)


def linear(call: Call) -> Tensor:
    """`x W^T + b`: the bias drops out."""
    weight: Tensor = call.constant(1)
    return torch.nn.functional.linear(call.delta(0), weight)


def addmm(call: Call) -> Tensor:
    """`b + x W`."""
    if call.step.keywords or isinstance(call.arguments[0], Operand):
        raise NoRule("scaled or changing bias")
    return torch.matmul(call.delta(1), call.constant(2))


def add(call: Call) -> Tensor:
    """`x + alpha y`."""
    return _sum(call, 1)


def subtract(call: Call) -> Tensor:
    """`x - alpha y`."""
    return _sum(call, -1)


def reverse_subtract(call: Call) -> Tensor:
    """`y - x`."""
    if call.step.keywords or isinstance(call.arguments[1], Operand):
        raise NoRule("scaled or changing operand")
    return -call.delta(0)


def negate(call: Call) -> Tensor:
    """`-x`."""
    return -call.delta(0)


def reduce(call: Call) -> Tensor:
    """Sum and mean over dimensions other than the batch's."""
    dims = call.option(1, "dim")
    wanted = [dims] if isinstance(dims, int) else list(dims or [])
    delta = call.delta(0)
    if not wanted or any(d % delta.dim() == 0 for d in wanted):
        raise NoRule("reduction over the batch")
    answer: Tensor = call.step.target(delta, *call.arguments[1:], **call.step.keywords)
    return answer


def accumulate(call: Call) -> Tensor:
    """Cumulative sum."""
    answer: Tensor = call.step.target(call.delta(0), call.constant(1), **call.step.keywords)
    return answer


def choose(call: Call) -> Tensor:
    """`where(condition, x, y)` with a condition that does not change."""
    condition = _unchanging(call.arguments[0])
    return torch.where(condition, _part(call.arguments[1]), _part(call.arguments[2]))


def fill(call: Call) -> Tensor:
    """`masked_fill` with a mask that does not change."""
    return call.delta(0).masked_fill(_unchanging(call.arguments[1]), 0.0)


def batch_norm(call: Call) -> Tensor:
    """Batch normalisation with frozen statistics: a scale per channel (dimension 1)."""
    delta, weight, variance = call.delta(0), call.option(1, "weight"), call.constant(4)
    epsilon = call.constant(7 if call.step.operator == "batch_norm" else 6)
    if call.step.operator == "batch_norm" and call.constant(5):
        raise NoRule("statistics of the batch")
    scale = torch.rsqrt(variance + epsilon)
    scale = scale if weight is None else scale * weight
    return delta * scale.reshape([-1] + [1] * (delta.dim() - 2))


def _moved(argument: Any, rows: int) -> Any:
    if isinstance(argument, Operand):
        if argument.delta is not None:
            return argument.delta
        return argument.value.new_zeros((rows, *argument.value.shape[1:]))
    if isinstance(argument, list):
        return [_moved(a, rows) for a in argument]
    return argument


def _sum(call: Call, sign: int) -> Tensor:
    scale = sign * call.step.keywords.get("alpha", 1)
    first, second = _delta(call.arguments[0]), _delta(call.arguments[1])
    if second is None:
        first = sure(first)
        return call.filled(first)
    second = second if scale == 1 else second * scale
    return call.filled(second if first is None else first + second)


def _delta(argument: Any) -> Tensor | None:
    return argument.delta if isinstance(argument, Operand) else None


def _part(argument: Any) -> Tensor:
    delta = _delta(argument)
    return torch.zeros(()) if delta is None else delta


def _unchanging(argument: Any) -> Tensor:
    if isinstance(argument, Operand):
        if argument.delta is not None:
            raise NoRule("the condition changes with a feature")
        return argument.value
    condition: Tensor = argument
    return condition


RULES = {
    **dict.fromkeys(operators.MOVES, move),
    **dict.fromkeys(operators.CASTS, cast),
    "linear": linear,
    "addmm": addmm,
    "add": add,
    "sub": subtract,
    "rsub": reverse_subtract,
    "neg": negate,
    "sum": reduce,
    "mean": reduce,
    "cumsum": accumulate,
    "where": choose,
    "masked_fill": fill,
    "dropout": move,
    **dict.fromkeys(("batch_norm", "batch_norm_inference"), batch_norm),
}
