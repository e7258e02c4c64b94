"""Which of the nodes that moved are explained by others that moved before them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BITS = 64
_MOST_MOVERS = 4 * _BITS


@dataclass(frozen=True, eq=False)
class Movers:
    """Nodes of a part of the graph that moved, by position in it.

    `places` intp [M]; `since` int64 [M]; `ancestors` bool [M, M]: whether the column's mover lies
    upstream of the row's.
    """

    places: NDArray[np.intp]
    since: NDArray[np.int64]
    ancestors: NDArray[np.bool_]

    @property
    def explained(self) -> NDArray[np.bool_]:
        """Whether another mover upstream moved before, or in a window of the same time; [M].

        Of two in a cycle that moved together, neither explains the other.
        """
        earlier = self.since[None, :] < self.since[:, None]
        together = self.since[None, :] == self.since[:, None]
        one_way = self.ancestors & ~self.ancestors.T
        explains = (self.ancestors & earlier) | (one_way & together)
        explained: NDArray[np.bool_] = explains.any(axis=1)
        return explained


def movers(
    sources: NDArray[np.intp],
    targets: NDArray[np.intp],
    moved: NDArray[np.bool_],
    since: NDArray[np.int64],
) -> Movers:
    """Find out who of the nodes that moved lies upstream of whom, along the edges.

    `moved` bool, `since` int64, both [nodes]. Of very many movers the first are taken.
    """
    places = np.flatnonzero(moved)[:_MOST_MOVERS]
    since = since[places]
    ancestors = np.zeros((len(places), len(places)), np.bool_)
    for start in range(0, len(places), _BITS):
        some = places[start : start + _BITS]
        sets = _upstream(sources, targets, len(moved), some)[places]
        for bit in range(len(some)):
            ancestors[:, start + bit] = (sets >> np.uint64(bit)) & np.uint64(1)
    np.fill_diagonal(ancestors, val=False)
    return Movers(places, since, ancestors)


def _upstream(
    sources: NDArray[np.intp], targets: NDArray[np.intp], count: int, places: NDArray[np.intp]
) -> NDArray[np.uint64]:
    """Return for each node the set of `places` upstream of it, a bit each."""
    own = np.zeros(count, np.uint64)
    own[places] = np.uint64(1) << np.arange(len(places), dtype=np.uint64)
    sets = np.zeros(count, np.uint64)
    while True:
        passed = (sets | own)[sources]
        new = (passed & ~sets[targets]) != 0
        if not new.any():
            return sets
        np.bitwise_or.at(sets, targets[new], passed[new])


def leading_to(
    sources: NDArray[np.intp], targets: NDArray[np.intp], goals: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which nodes have a goal downstream of them."""
    leads = np.zeros(len(goals), np.bool_)
    front = goals
    while front.any():
        # Only what was found last leads to more.
        before = sources[front[targets]]
        front = np.zeros(len(goals), np.bool_)
        front[before[~leads[before]]] = True
        leads |= front
    return leads
