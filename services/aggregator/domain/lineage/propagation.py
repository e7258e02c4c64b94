"""What is downstream of a shift, how strongly it should be felt there, and whether it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.observations import Feeling, Observations
from services.aggregator.domain.lineage.paths import LineagePath, Way, ways_to
from services.aggregator.domain.lineage.reach import Bounds, Reach, Truncation, reach
from services.aggregator.domain.lineage.roles import Role, roles_above, roles_below
from services.aggregator.domain.lineage.view import Direction, GraphView

_ROLES = tuple(Role)


class MoveOrder(Enum):
    """Which moved first: a node, or what the shift came from."""

    PARENT_FIRST = "PARENT_FIRST"
    TOGETHER = "TOGETHER"
    """In windows of the same time."""
    CHILD_FIRST = "CHILD_FIRST"


class PropagationNode(NamedTuple):
    """One node up or down the graph of the one in question."""

    node: NodeId
    role: Role
    depth: int
    """Edges on the shortest path from the origin; negative: upstream of it."""
    path_strength: float
    expected_shift: float
    """The origin's shift times the strength of the strongest path; zero upstream."""
    feeling: Feeling
    observed_shift: float | None
    move_time: datetime | None
    move_order: MoveOrder | None
    """Against the nearest node before it on the strongest path that moved; None: there is none."""
    paths: Sequence[LineagePath]


@dataclass(frozen=True)
class Propagation:
    """The story of a shift."""

    origin: NodeId
    origin_shift: float
    nodes: Sequence[PropagationNode]
    """Roots first, then those that the shift came to, then by expected shift."""
    truncation: Truncation


@dataclass(frozen=True)
class Limits:
    """How much is told of what was found."""

    nodes: int = 200
    paths: int = 3
    """That explain a node."""


def trace(
    view: GraphView,
    origin: int,
    seen: Observations,
    bounds: Bounds,
    limits: Limits,
) -> Propagation:
    """Follow a shift from its origin down the graph, and look upstream for where it came from."""
    start = np.array([origin])
    above = reach(view, start, Direction.UPSTREAM, bounds)
    below = reach(view, start, Direction.DOWNSTREAM, bounds)
    upper, lower = roles_above(above, seen), roles_below(below, seen)
    lower[0] = _role_of_origin(upper[0], lower)
    upper[0] = Role.UNAFFECTED
    higher = _first(np.flatnonzero(upper), upper, above, limits.nodes - 1)
    chosen = _first(np.arange(len(lower)), lower, below, limits.nodes - len(higher))
    shift = float(seen.shift[origin]) if seen.moved[origin] else 1.0
    teller = _Teller(view, seen, shift, bounds.depth, limits.paths)
    nodes = [
        *teller.tell(above, higher, upper, Direction.UPSTREAM),
        *teller.tell(below, chosen, lower, Direction.DOWNSTREAM),
    ]
    nodes.sort(key=lambda told: -max(told.role, Role.CARRIER) if told.role else 0)
    return Propagation(
        origin=view.nodes.id(origin),
        origin_shift=shift,
        nodes=nodes,
        truncation=Truncation(
            depth=above.truncation.depth or below.truncation.depth,
            fan_out=above.truncation.fan_out or below.truncation.fan_out,
            size=len(nodes) < len(lower) + int(np.count_nonzero(upper)),
        ),
    )


def _role_of_origin(above: int, lower: NDArray[np.int8]) -> int:
    """Return the origin's role by what is above it and, where it is no root, below."""
    if above != Role.CARRIER:
        return above
    came_further = ((lower[1:] == Role.CARRIER) | (lower[1:] == Role.VICTIM)).any()
    return Role.CARRIER if came_further else Role.VICTIM


def _first(
    positions: NDArray[np.intp], roles: NDArray[np.int8], reached: Reach, count: int
) -> NDArray[np.intp]:
    """Return those of the positions that are told: by role, then by strength; origin always."""
    affected = np.minimum(roles[positions], Role.CARRIER) + (roles[positions] == Role.ROOT)
    keys = affected + reached.strengths[positions] / (1 + reached.strengths.max())
    keys[positions == 0] = np.inf
    if count < len(positions):
        kept = np.argpartition(-keys, max(count - 1, 0))[: max(count, 0)]
        positions, keys = positions[kept], keys[kept]
    return positions[np.argsort(-keys, kind="stable")]


@dataclass(frozen=True, eq=False)
class _Teller:
    """Puts into words what was found of some nodes."""

    view: GraphView
    seen: Observations
    shift: float
    depth: int
    paths: int

    def tell(
        self,
        reached: Reach,
        positions: NDArray[np.intp],
        roles: NDArray[np.int8],
        direction: Direction,
    ) -> Iterator[PropagationNode]:
        is_down = direction is Direction.DOWNSTREAM
        sign = 1 if is_down else -1
        nodes = reached.nodes[positions]
        told = zip(
            nodes.tolist(),
            roles[positions].tolist(),
            (sign * reached.distances[positions]).tolist(),
            reached.strengths[positions].tolist(),
            self.seen.told(nodes),
            ways_to(reached, positions, self.depth, self.paths),
            strict=True,
        )
        ids, shift = self.view.nodes.ids, self.shift if is_down else 0.0
        for number, role, depth, strength, (feeling, observed, since), ways in told:
            is_late = is_down and feeling is Feeling.FELT
            yield PropagationNode(
                node=self.view.nodes.id(number),
                role=_ROLES[role],
                depth=depth,
                path_strength=strength,
                expected_shift=shift * strength,
                feeling=feeling,
                observed_shift=observed,
                move_time=since,
                move_order=self._order(ways[0]) if is_late else None,
                paths=[
                    LineagePath(ids(way if is_down else way[::-1]), product)
                    for way, product in ways
                    if len(way) > 1
                ],
            )

    def _order(self, way: Way) -> MoveOrder | None:
        """Compare the last node of a way with the nearest before it that moved."""
        last, moved, since = way.nodes[-1], self.seen.moved, self.seen.since
        before = next((node for node in reversed(way.nodes[:-1]) if moved[node]), None)
        if before is None:
            return None
        if since[before] == since[last]:
            return MoveOrder.TOGETHER
        return MoveOrder.PARENT_FIRST if since[before] < since[last] else MoveOrder.CHILD_FIRST
