"""A joint step, its inputs' values and structured deltas, and what is remembered between blocks."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from services.attribution.engine.graph import Graph, Ref, Step, Value
from services.attribution.engine.memory import Memory
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.scratch import Scratch
from services.attribution.engine.structure import Delta, NoStructure


@dataclass(frozen=True)
class Site:
    """Where a join rule works."""

    step: Step
    graph: Graph
    pairs: Pairs
    rows: int
    values: Mapping[int, Value]
    """Of all steps, for the block's rows."""
    delta: Callable[[int], Delta | None]
    """The change of an earlier step; None: no feature in play reaches it."""
    scratch: Scratch
    memory: Memory
    """Derived from constants alone, by step: filled when first needed."""

    def constant(self, position: int) -> Any:
        """Return a constant argument.

        Raises:
            NoStructure: it is none.
        """
        argument = self.step.arguments[position] if position < len(self.step.arguments) else None
        if isinstance(argument, Ref):
            if argument.index not in self.graph.constants:
                raise NoStructure(f"argument {position} is not a constant")
            return self.graph.constants[argument.index]
        return argument

    def changing(self, position: int) -> Delta:
        """Return the change of an argument.

        Raises:
            NoStructure: it does not change.
        """
        argument = self.step.arguments[position]
        delta = self.delta(argument.index) if isinstance(argument, Ref) else None
        if delta is None:
            raise NoStructure(f"argument {position} does not change")
        return delta

    def value(self, position: int) -> Any:
        """Return an argument's value before the change: a constant or one per row."""
        argument = self.step.arguments[position]
        if not isinstance(argument, Ref):
            return argument
        if argument.index in self.graph.constants:
            return self.graph.constants[argument.index]
        return self.values[argument.index]

    def flat(self, index: int) -> Tensor:
        """Return a step's value as `[rows, width]`."""
        value: Tensor = self.values[index]
        return value.reshape(self.rows, -1)

    def remembered(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` answered the first time."""
        return self.memory.recall((self.step.index, key), make)
