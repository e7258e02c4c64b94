"""How far, and how strongly, a shift can come from some nodes along the edges or against them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.view import Direction, GraphView, Steps, strongest

_LOOKED_AT_FIRST = 50
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
        count, places = len(origins), np.arange(len(origins))
        # By number of the node; all else is by position, so that what is written lies together.
        self._position = np.full(len(view.nodes), _NOWHERE, np.intp)
        self._position[origins] = places
        self._nodes = [origins]
        self._best = np.ones(count)
        self._levels = [Level(origins, places, self._best, np.zeros(count, np.intp))]
        none = np.zeros(0, np.intp)
        self._edges = [(none, none, np.zeros(0))]
        self._cut_fan_out = self._amplifies = False

    def run(self) -> Reach:
        for _ in range(self._bounds.depth):
            if not len(self._levels[-1].nodes):
                break
            self._go_on()
        level_of, place_of = np.empty((2, len(self._best)), np.intp)
        for number, level in enumerate(self._levels):
            # Later levels improve on what earlier ones found.
            level_of[level.positions] = number
            place_of[level.positions] = np.arange(len(level.positions))
        counts = [len(nodes) for nodes in self._nodes]
        sources, targets, strengths = zip(*self._edges, strict=True)
        return Reach(
            nodes=np.concatenate(self._nodes),
            distances=np.repeat(np.arange(len(counts), dtype=np.int16), counts),
            strengths=self._best,
            sources=np.concatenate(sources),
            targets=np.concatenate(targets),
            edge_strengths=np.concatenate(strengths),
            truncation=Truncation(depth=self._goes_on(), fan_out=self._cut_fan_out),
            levels=self._levels,
            level_of=level_of,
            place_of=place_of,
        )

    def _go_on(self) -> None:
        front = self._levels[-1]
        steps, cut = strongest(self._view.steps(front.nodes, self._direction), self._bounds.fan_out)
        self._cut_fan_out |= cut
        targets = self._positions_of(steps.nodes)
        strengths = front.strengths.take(steps.places) * steps.strengths
        better = np.flatnonzero(strengths > self._best.take(targets))
        better = self._simple(better, steps)
        self._improve(targets[better], strengths[better], better, steps)
        self._edges.append((front.positions.take(steps.places), targets, steps.strengths))

    def _positions_of(self, nodes: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the positions of nodes, after having given one to each that has none yet."""
        positions = self._position.take(nodes)
        met = np.flatnonzero(positions == _NOWHERE)
        new, first = nodes[met], len(self._best)
        # Of several that are the same node the last has its number, which is then its alone.
        numbers = np.arange(len(new))
        self._position[new] = numbers
        new = new[self._position[new] == numbers]
        self._position[new] = np.arange(first, first + len(new))
        positions[met] = self._position.take(nodes[met])
        self._nodes.append(new)
        self._best = np.concatenate([self._best, np.zeros(len(new))])
        return positions

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
        targets: NDArray[np.intp],
        strengths: NDArray[np.float64],
        better: NDArray[np.intp],
        steps: Steps,
    ) -> None:
        np.maximum.at(self._best, targets, strengths)
        won = np.flatnonzero(strengths == self._best.take(targets))
        # Of several equally strong paths to a node one is kept.
        place = np.empty(len(self._best), np.intp)
        place[targets[won]] = won
        won = won[place.take(targets[won]) == won]
        edges = better[won]
        self._levels.append(
            Level(steps.nodes[edges], targets[won], strengths[won], steps.places[edges])
        )

    def _goes_on(self) -> bool:
        """Whether edges lead from the last level to nodes that were not reached."""
        last = self._levels[-1].nodes
        if len(self._levels) <= self._bounds.depth:
            return False
        start, count = 0, _LOOKED_AT_FIRST
        while start < len(last):
            steps = self._view.steps(last[start : start + count], self._direction)
            if (self._position.take(steps.nodes) == _NOWHERE).any():
                return True
            start, count = start + count, 2 * count
        return False
