"""How far, and how strongly, a shift can come from some nodes along the edges or against them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.view import Direction, GraphView, Steps, strongest

_LOOKED_AT_ONCE = 1_000
_NOWHERE = -1


@dataclass(frozen=True)
class Bounds:
    """How much of the graph an answer may rest on."""

    depth: int = 6
    """Edges from the nodes that the question is about."""
    fan_out: int = 100
    """Edges that are followed from one node, the strongest first."""


@dataclass(frozen=True)
class Truncation:
    """What was left out of an answer."""

    depth: bool = False
    """Nodes lie beyond the depth."""
    fan_out: bool = False
    """Nodes have more neighbours than were followed."""
    size: bool = False
    """More was found than is told."""


@dataclass(frozen=True, eq=False)
class Level:
    """The nodes whose strongest path so far has as many edges as this level's number.

    `nodes` intp [L]; `positions` intp [L]: in the reach; `strengths` float64 [L] of those paths;
    `parents` intp [L]: places in the level before.
    """

    nodes: NDArray[np.intp]
    positions: NDArray[np.intp]
    strengths: NDArray[np.float64]
    parents: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Reach:
    """What was reached from some origins, by position in `nodes`; the origins come first.

    `nodes` intp [R] in the order in which they were first reached. `distances` int16 [R]: edges on
    the shortest path. `strengths` float64 [R]: of the strongest path, the largest product of edge
    strengths over all paths within the bounds. A path that comes back to a node of its own, where a
    cycle amplifies, is not followed. `sources`, `targets` intp [E] and `edge_strengths` float64
    [E]: the edges that were followed, away from the origins.
    """

    nodes: NDArray[np.intp]
    distances: NDArray[np.int16]
    strengths: NDArray[np.float64]
    sources: NDArray[np.intp]
    targets: NDArray[np.intp]
    edge_strengths: NDArray[np.float64]
    truncation: Truncation
    levels: Sequence[Level]
    level_of: NDArray[np.intp]
    """[R]: the level of a node's strongest path."""
    place_of: NDArray[np.intp]
    """[R]: the node's place in that level."""

    def path(self, position: int) -> list[int]:
        """Return the nodes on the strongest path to the one at that position, its origin first."""
        return self.paths(np.array([position]))[0]

    def paths(self, positions: NDArray[np.intp]) -> list[list[int]]:
        """Return the nodes on the strongest paths to those at the positions, origins first."""
        levels, places = self.level_of[positions], self.place_of[positions]
        steps = np.zeros((len(self.levels), len(positions)), np.intp)
        for number in range(len(self.levels) - 1, -1, -1):
            level = self.levels[number]
            on = np.flatnonzero(levels >= number)
            steps[number, on] = level.nodes[places[on]]
            places[on] = level.parents[places[on]]
        ways = zip(steps.T.tolist(), levels.tolist(), strict=True)
        return [nodes[: last + 1] for nodes, last in ways]


def reach(
    view: GraphView, origins: NDArray[np.intp], direction: Direction, bounds: Bounds
) -> Reach:
    """Follow the edges from the origins, intp [O], level by level, as far as the bounds go."""
    return _Search(view, origins, direction, bounds).run()


class _Search:
    """Bellman and Ford's relaxation of the largest product, only where the last round improved."""

    def __init__(
        self,
        view: GraphView,
        origins: NDArray[np.intp],
        direction: Direction,
        bounds: Bounds,
    ) -> None:
        self._view, self._direction, self._bounds = view, direction, bounds
        count, places = len(view.nodes), np.arange(len(origins))
        self._best = np.zeros(count)
        self._best[origins] = 1.0
        # Of each node: its position in the reach, and its place in the level that has it last.
        self._position = np.full(count, _NOWHERE, np.intp)
        self._position[origins] = places
        self._place = np.empty(count, np.intp)
        self._count = len(origins)
        self._distances = [len(origins)]
        self._followed: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
        ones = np.ones(len(origins))
        self._levels = [Level(origins, places, ones, np.zeros(len(origins), np.intp))]
        self._cut_fan_out = self._amplifies = False

    def run(self) -> Reach:
        for _ in range(self._bounds.depth):
            if not len(self._levels[-1].nodes):
                break
            self._go_on()
        nodes = np.empty(self._count, np.intp)
        level_of, place_of = np.empty_like(nodes), np.empty_like(nodes)
        strengths = np.empty(self._count)
        for number, level in enumerate(self._levels):
            # Later levels improve on what earlier ones found.
            nodes[level.positions], strengths[level.positions] = level.nodes, level.strengths
            level_of[level.positions] = number
            place_of[level.positions] = np.arange(len(level.nodes))
        sources, targets, edge_strengths = zip(*self._followed, strict=True)
        return Reach(
            nodes=nodes,
            distances=np.repeat(np.arange(len(self._distances), dtype=np.int16), self._distances),
            strengths=strengths,
            sources=np.concatenate(sources),
            targets=np.concatenate(targets),
            edge_strengths=np.concatenate(edge_strengths),
            truncation=Truncation(depth=self._goes_on(), fan_out=self._cut_fan_out),
            levels=self._levels,
            level_of=level_of,
            place_of=place_of,
        )

    def _go_on(self) -> None:
        front = self._levels[-1]
        steps, cut = strongest(self._view.steps(front.nodes, self._direction), self._bounds.fan_out)
        self._cut_fan_out |= cut
        strengths = front.strengths[steps.places] * steps.strengths
        better = np.flatnonzero(strengths > self._best[steps.nodes])
        better = self._simple(better, steps)
        self._improve(steps.nodes[better], strengths[better], steps.places[better])
        sources = front.positions[steps.places]
        self._followed.append((sources, self._position[steps.nodes], steps.strengths))

    def _simple(self, better: NDArray[np.intp], steps: Steps) -> NDArray[np.intp]:
        """Leave out steps that come back to a node of their own path."""
        self._amplifies = self._amplifies or bool((steps.strengths > 1).any())
        if not self._amplifies:
            return better
        nodes, places = steps.nodes[better], steps.places[better]
        simple = np.ones(len(better), np.bool_)
        for level in reversed(self._levels):
            simple &= level.nodes[places] != nodes
            places = level.parents[places]
        return better[simple]

    def _improve(
        self,
        nodes: NDArray[np.intp],
        strengths: NDArray[np.float64],
        parents: NDArray[np.intp],
    ) -> None:
        np.maximum.at(self._best, nodes, strengths)
        won = np.flatnonzero(strengths == self._best[nodes])
        # Of several equally strong paths to a node one is kept.
        self._place[nodes[won]] = won
        won = won[self._place[nodes[won]] == won]
        nodes = nodes[won]
        new = nodes[self._position[nodes] == _NOWHERE]
        self._position[new] = np.arange(self._count, self._count + len(new))
        self._count += len(new)
        self._distances.append(len(new))
        self._levels.append(Level(nodes, self._position[nodes], strengths[won], parents[won]))

    def _goes_on(self) -> bool:
        """Whether edges lead from the last level to nodes that were not reached."""
        last = self._levels[-1].nodes
        if len(self._levels) <= self._bounds.depth:
            return False
        for start in range(0, len(last), _LOOKED_AT_ONCE):
            steps = self._view.steps(last[start : start + _LOOKED_AT_ONCE], self._direction)
            if (self._position[steps.nodes] == _NOWHERE).any():
                return True
        return False
