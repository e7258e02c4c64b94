"""How the features of a class reach the logit: which step is done in which way.

Features of a class reach the same joint steps. A joint step keeps its deltas in structured form as
long as that is smaller than writing them out, then passes written-out deltas, one row per pair;
from the first step without a rule onwards, the trunk runs again on ablated values.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.attribution.engine.certainty import sure
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.device import tensor_of
from services.attribution.engine.footprint import Footprint
from services.attribution.engine.graph import Graph, Step
from services.attribution.engine.memory import Memory
from services.attribution.engine.ownership import Columns, Layout, columns_of
from services.attribution.engine.towers import Towers

_NARROW = 4


@dataclass
class Trunk:
    """The plan for a class of features."""

    features: tuple[int, ...]
    graph: Graph
    dependencies: Dependencies
    towers: Towers
    joint: list[Step] = field(default_factory=list)
    """The steps where features of the class have met, in order."""
    structured: list[Step] = field(default_factory=list)
    """Done for a whole block of rows, in structured form where a rule keeps it."""
    structural: set[int] = field(default_factory=set)
    """Those of them that a join rule covers, by index."""
    dense: list[Step] = field(default_factory=list)
    """Done chunk by chunk on written-out deltas."""
    late: int = 0
    """From which of them on all steps take and answer next to nothing: done once for a block."""
    fused: dict[int, int] = field(default_factory=dict)
    """Dense linear steps that take a ReLU's answer alone, and the ReLU: done as one."""
    again: list[Step] = field(default_factory=list)
    """Run again on ablated values."""
    reasons: dict[int, str] = field(default_factory=dict)
    """Why steps run again: the first ones, by index."""
    footprint: Footprint = field(default_factory=Footprint)
    """What it takes for a block."""
    memory: Memory = field(default_factory=Memory)
    """What joins derived from constants."""

    @property
    def among(self) -> int:
        """Return the features, as bits."""
        return self.towers.among

    def layout(self, index: int) -> Layout:
        """Return which elements of a tower step each feature owns."""

        def made() -> Layout:
            return _layout(sure(self.dependencies.owners(index, self.among)).reshape(-1))

        layout: Layout = self.memory.recall(("tower", index), made)
        return layout

    def fuse(self) -> None:
        """Find the ReLUs that a single linear step follows."""
        inside = {s.index: s for s in self.dense}
        for step in self.dense:
            relu = inside.get(step.inputs[0])
            if relu is None or relu.operator != "relu" or not self._is_plain_linear(step):
                continue
            is_only = len(self.graph.users(relu.index)) == 1
            if is_only and len(self.graph.users(relu.inputs[0])) == 1 and relu.shape is not None:
                self.fused[step.index] = relu.index
        skipped = set(self.fused.values())
        self.dense = [s for s in self.dense if s.index not in skipped]
        self.late = len(self.dense)
        while self.late and self._is_narrow(self.dense[self.late - 1]):
            self.late -= 1

    def _is_narrow(self, step: Step) -> bool:
        if step.index in self.fused:
            return False
        shapes = [step.shape, *(self.graph.shape_of(i) for i in step.inputs)]
        return all(shape is None or math.prod(shape) <= _NARROW for shape in shapes)

    def handed_over(self) -> list[int]:
        """Return the dense steps whose deltas are wanted once for a block."""
        early = {s.index for s in self.dense[: self.late]}
        wanted = [i for s in self.dense[self.late :] for i in s.inputs]
        return [i for i in dict.fromkeys([*wanted, self.graph.output]) if i in early]

    def _is_plain_linear(self, step: Step) -> bool:
        if step.operator != "linear" or step.shape is None or len(step.shape) != 1:
            return False
        return step.arguments[1].index in self.graph.constants

    def written(self) -> list[int]:
        """Return the structured steps whose deltas others want written out."""
        inside = {s.index for s in self.structured}
        later = [*self.dense, *self.again, *(self._step(i) for i in self.fused.values())]
        wanted = [i for s in later for i in s.inputs if i in inside]
        if self.graph.output in inside:
            wanted.append(self.graph.output)
        return list(dict.fromkeys(wanted))

    def _step(self, index: int) -> Step:
        return sure(self.graph.step(index))

    def rerun(self, reasons: dict[int, str]) -> None:
        """Run the given steps, and all that follows from them, again on ablated values."""
        self.reasons = reasons
        without = set(reasons)
        for step in self.joint:
            if any(i in without for i in step.inputs):
                without.add(step.index)
        self.again = _with_what_has_no_rows(self.graph, without)
        self.structured = [s for s in self.structured if s.index not in without]
        self.dense = [s for s in self.dense if s.index not in without]


def joint_steps(graph: Graph, dependencies: Dependencies, towers: Towers) -> list[Step]:
    """Return the steps with an element that several features reach, in order."""
    return [
        step
        for step in graph.steps
        if towers.reaches(step.index) and not dependencies.is_tower(step.index, towers.among)
    ]


def _layout(owners: NDArray[np.int64]) -> Layout:
    columns: dict[int, Columns] = {}
    order = np.argsort(owners, kind="stable")
    ranked = owners[order]
    cuts = np.flatnonzero(np.diff(ranked)) + 1
    for positions in np.split(order, cuts):
        if len(positions) and owners[positions[0]] >= 0:
            columns[int(owners[positions[0]])] = columns_of(tensor_of(positions))
    return Layout(columns)


def _with_what_has_no_rows(graph: Graph, wanted: Iterable[int]) -> list[Step]:
    """Return steps, and those that they need whose values have no rows to take."""
    chosen = set(wanted)
    for step in reversed(graph.steps):
        if step.index in chosen:
            for index in step.inputs:
                source = graph.step(index)
                if source is not None and source.shape is None:
                    chosen.add(index)
    return [s for s in graph.steps if s.index in chosen]
