"""One application of an operator to values that change by deltas."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from services.attribution.engine.certainty import sure
from services.attribution.engine.graph import Step


class NoRule(Exception):
    """The operator is used in a way that its rule does not cover; the text says which."""


class Operand:
    """An argument with a value per row, `[rows or 1, ...]`, and its change `[rows, ...]` if any."""

    def __init__(self, value: Callable[[], Tensor], delta: Tensor | None) -> None:
        self._fetch = value
        self._value: Tensor | None = None
        self.delta = delta

    @property
    def value(self) -> Tensor:
        """Return the value before the change, fetched when first wanted."""
        if self._value is None:
            self._value = self._fetch()
        return self._value

    @property
    def changed(self) -> Tensor:
        """Return the value after the change."""
        return self.value if self.delta is None else self.value + self.delta


class Call:
    """A step, its arguments (operands where a feature reaches them) and the number of rows."""

    def __init__(self, step: Step, arguments: Sequence[Any], rows: int) -> None:
        self.step = step
        self.arguments = arguments
        self.rows = rows

    def operand(self, position: int) -> Operand:
        """Return an argument that has to change with a feature.

        Raises:
            NoRule: it does not.
        """
        argument = self.arguments[position]
        if not isinstance(argument, Operand) or argument.delta is None:
            raise NoRule(f"argument {position} does not change")
        return argument

    def constant(self, position: int) -> Any:
        """Return an argument that must not depend on a feature.

        Raises:
            NoRule: it does.
        """
        argument = self.arguments[position]
        if isinstance(argument, Operand):
            raise NoRule(f"argument {position} is not a constant")
        return argument

    def option(self, position: int, name: str, default: Any = None) -> Any:
        """Return an optional constant argument."""
        if len(self.arguments) > position:
            return self.constant(position)
        return self.step.keywords.get(name, default)

    def delta(self, position: int) -> Tensor:
        """Return the change of an argument that has one."""
        return sure(self.operand(position).delta)

    def filled(self, delta: Tensor) -> Tensor:
        """Return a change broadcast to the step's own shape."""
        shape = (self.rows, *(self.step.shape or ()))
        return delta if tuple(delta.shape) == shape else torch.broadcast_to(delta, shape)

    def before(self) -> list[Any]:
        """Return the arguments before the change."""
        return [_each(a, lambda operand: operand.value) for a in self.arguments]

    def after(self) -> list[Any]:
        """Return the arguments after the change."""
        return [_each(a, lambda operand: operand.changed) for a in self.arguments]

    def difference(self) -> Tensor:
        """Return the operator's answer after the change minus the one before."""
        difference: Tensor = self.step.call(self.after()) - self.step.call(self.before())
        return difference


def _each(argument: Any, value: Callable[[Operand], Tensor]) -> Any:
    if isinstance(argument, Operand):
        return value(argument)
    if isinstance(argument, list | tuple):
        return [_each(a, value) for a in argument]
    return argument
