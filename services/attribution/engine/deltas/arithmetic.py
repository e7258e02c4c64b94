"""Products, quotients and powers of what changes."""

from collections.abc import Callable

import torch
from torch import Tensor

from services.attribution.engine.deltas.call import Call, NoRule, Operand


def multiply(call: Call) -> Tensor:
    """`x y`: `dx y + (x + dx) dy`."""
    return call.filled(_bilinear(call, torch.mul))


def matrix_multiply(call: Call) -> Tensor:
    """`x y` per row."""
    for argument in call.arguments:
        if (
            isinstance(argument, Operand)
            and argument.value.dim() < 3
            and _is_second(call, argument)
        ):
            raise NoRule("a product over the batch")
    return _bilinear(call, torch.matmul)


def divide(call: Call) -> Tensor:
    """`x / y`: `(dx - (x / y) dy) / (y + dy)`."""
    if call.step.keywords:
        raise NoRule("rounding division")
    first, second = call.arguments[0], call.arguments[1]
    if not isinstance(second, Operand) or second.delta is None:
        divisor = second.value if isinstance(second, Operand) else second
        return call.filled(call.delta(0) / divisor)
    numerator = first.value if isinstance(first, Operand) else first
    change = -(numerator / second.value) * second.delta
    if isinstance(first, Operand) and first.delta is not None:
        change = first.delta + change
    return call.filled(torch.where(change == 0, 0.0, change / second.changed))


def power(call: Call) -> Tensor:
    """`x^c`; squares without cancellation."""
    if isinstance(call.arguments[0], Operand) and call.arguments[1] == 2:
        return square(call)
    return call.difference()


def square(call: Call) -> Tensor:
    """`x^2`: `dx (2 x + dx)`."""
    operand, delta = call.operand(0), call.delta(0)
    return delta * (2 * operand.value + delta)


def reciprocal(call: Call) -> Tensor:
    """`1 / x`: `-dx / (x (x + dx))`."""
    operand, delta = call.operand(0), call.delta(0)
    return torch.where(delta == 0, 0.0, -delta / (operand.value * operand.changed))


def square_root(call: Call) -> Tensor:
    """`sqrt(x)`: `dx / (sqrt(x) + sqrt(x + dx))`."""
    operand, delta = call.operand(0), call.delta(0)
    total = torch.sqrt(operand.value) + torch.sqrt(operand.changed)
    return torch.where(delta == 0, 0.0, delta / total)


def _bilinear(call: Call, product: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    first, second = call.arguments[0], call.arguments[1]
    change: Tensor | None = None
    if isinstance(first, Operand) and first.delta is not None:
        change = product(first.delta, second.value if isinstance(second, Operand) else second)
    if isinstance(second, Operand) and second.delta is not None:
        other = product(first.changed if isinstance(first, Operand) else first, second.delta)
        change = other if change is None else change + other
    if change is None:
        raise NoRule("nothing changes")
    return change


def _is_second(call: Call, argument: Operand) -> bool:
    return call.arguments[1] is argument


RULES = {
    "mul": multiply,
    "matmul": matrix_multiply,
    "mm": matrix_multiply,
    "bmm": matrix_multiply,
    "div": divide,
    "pow": power,
    "square": square,
    "reciprocal": reciprocal,
    "sqrt": square_root,
}
