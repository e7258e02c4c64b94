"""The values of all steps for some rows, and what their towers change by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from services.attribution.engine.fused import Relu
from services.attribution.engine.graph import Value
from services.attribution.engine.trunk import Trunk


@dataclass(frozen=True)
class Block:
    """The values of all steps for some rows."""

    values: Mapping[int, Value]
    rows: int
    _towers: dict[tuple[str, int, int], Any] = field(default_factory=dict)
    _relus: dict[int, Relu] = field(default_factory=dict)

    def ablated(self, trunk: Trunk, index: int) -> Tensor:
        """Return a tower step's value with the trunk's features ablated, made once a block."""
        key = ("ablated", trunk.among, index)
        if key not in self._towers:
            self._towers[key] = trunk.towers.ablated(index, self.values, self.rows)
        ablated: Tensor = self._towers[key]
        return ablated

    def delta(self, trunk: Trunk, index: int) -> Tensor:
        """Return how a tower step changes when the trunk's features are ablated, once a block."""
        key = ("delta", trunk.among, index)
        if key not in self._towers:
            self._towers[key] = trunk.towers.delta(index, self.values, self.rows)
        delta: Tensor = self._towers[key]
        return delta

    def relu(self, index: int) -> Relu:
        """Return what a ReLU of a step's value needs, made once a block."""
        if index not in self._relus:
            self._relus[index] = Relu.of(self.values[index])
        return self._relus[index]
