"""How the features of a class reach the logit: which step is done in which way.

Features of a class reach the same joint steps. A joint step keeps its deltas in structured form as
long as that is smaller than writing them out, then passes written-out deltas, one row per pair;
from the first step without a rule onwards, the trunk runs again on ablated values.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.graph import Graph, Step
from services.attribution.engine.towers import Towers


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
    again: list[Step] = field(default_factory=list)
    """Run again on ablated values."""
    reasons: dict[int, str] = field(default_factory=dict)
    """Why steps run again: the first ones, by index."""
    memory: dict[Any, Any] = field(default_factory=dict)
    """What joins derived from constants."""

    @property
    def among(self) -> int:
        """Return the features, as bits."""
        return self.towers.among

    def written(self) -> list[int]:
        """Return the structured steps whose deltas others want written out."""
        inside = {s.index for s in self.structured}
        wanted = [i for s in (*self.dense, *self.again) for i in s.inputs if i in inside]
        if self.graph.output in inside:
            wanted.append(self.graph.output)
        return list(dict.fromkeys(wanted))

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
