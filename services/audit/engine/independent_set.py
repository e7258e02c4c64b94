"""Large sets of labels that do not meet each other: maximum independent sets (section E.3)."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from services.audit.domain.errors import TooLargeForExact
from services.audit.domain.parameters import IndependentSetMethod

_EXACT_SECONDS = 60.0
_OPTIMAL = 0


def independent_set(
    conflicts: NDArray[np.bool_], method: IndependentSetMethod, restarts: int, seed: int
) -> NDArray[np.int64]:
    """Return vertices of which no two conflict, as many as the method finds.

    Args:
        conflicts: [n, n] symmetric, diagonal false.
        method: how to search.
        restarts: sets to choose the largest of; not used by the exact method.
        seed: draws the orders, so that the same call has the same answer.

    Returns:
        [k] vertices, rising. The set is maximal: no vertex can be added.

    Raises:
        TooLargeForExact: the integer program was not solved within a minute.
    """
    if method is IndependentSetMethod.EXACT:
        return _exact(conflicts)
    generator = np.random.default_rng(seed)
    search = _random if method is IndependentSetMethod.RANDOM_RESTARTS else _least_conflicting
    best: NDArray[np.int64] = np.empty(0, np.int64)
    for _ in range(restarts):
        found = search(conflicts, generator)
        best = found if len(found) > len(best) else best
    return best


def _random(conflicts: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.int64]:
    free = np.ones(len(conflicts), np.bool_)
    taken = np.zeros(len(conflicts), np.bool_)
    for vertex in generator.permutation(len(conflicts)):
        if free[vertex]:
            taken[vertex] = True
            free &= ~conflicts[vertex]
    return np.flatnonzero(taken)


def _least_conflicting(
    conflicts: NDArray[np.bool_], generator: np.random.Generator
) -> NDArray[np.int64]:
    count = len(conflicts)
    free = np.ones(count, np.bool_)
    taken = np.zeros(count, np.bool_)
    degrees = conflicts.sum(axis=1).astype(np.float64)
    # Below one, so that it only decides between equal degrees.
    tie = generator.random(count)
    while free.any():
        vertex = int(np.argmin(np.where(free, degrees + tie, np.inf)))
        taken[vertex] = True
        removed = free & conflicts[vertex]
        removed[vertex] = True
        free &= ~removed
        degrees -= conflicts[:, removed].sum(axis=1)
    return np.flatnonzero(taken)


def _exact(conflicts: NDArray[np.bool_]) -> NDArray[np.int64]:
    count = len(conflicts)
    if not conflicts.any():
        return np.arange(count, dtype=np.int64)
    cliques = _clique_cover(conflicts)
    members = np.concatenate(cliques)
    owners = np.repeat(np.arange(len(cliques)), [len(clique) for clique in cliques])
    limits = csr_array((np.ones(len(members)), (owners, members)), shape=(len(cliques), count))
    answer = milp(
        -np.ones(count),
        integrality=np.ones(count),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(limits, ub=1),
        options={"time_limit": _EXACT_SECONDS},
    )
    if answer.status != _OPTIMAL:
        raise TooLargeForExact(
            f"the largest independent set among {count} labels was not proved within "
            f"{_EXACT_SECONDS:.0f} s: use {IndependentSetMethod.MINIMUM_DEGREE.value}",
            field="independent_set_method",
        )
    return np.flatnonzero(answer.x > 0.5)


def _clique_cover(conflicts: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Cover every conflict by a clique: at most one of each clique is a far tighter program."""
    uncovered = np.triu(conflicts, 1)
    cliques = []
    while uncovered.any():
        first, second = np.argwhere(uncovered)[0]
        clique = [int(first), int(second)]
        candidates = conflicts[first] & conflicts[second]
        while candidates.any():
            # The one that covers most conflicts which nothing covers yet.
            gain = uncovered[clique].sum(axis=0) + uncovered[:, clique].sum(axis=1)
            vertex = int(np.argmax(np.where(candidates, gain, -1)))
            clique.append(vertex)
            candidates &= conflicts[vertex]
        members = np.sort(np.array(clique, dtype=np.int64))
        uncovered[np.ix_(members, members)] = False
        cliques.append(members)
    return cliques
