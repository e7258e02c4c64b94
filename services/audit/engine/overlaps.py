"""Classes that several triggers could poison together (appendix D, "Multiple triggers")."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from services.audit.engine.poisonable import PoisonableSubset


@dataclass(frozen=True, eq=False)
class TriggerOverlap:
    """Two triggers, in either order, and the classes that both could poison."""

    triggers: tuple[int, int]
    """Rising."""
    classes: NDArray[np.int64]
    """[C] labels, rising."""


def trigger_overlaps(subsets: Sequence[PoisonableSubset]) -> list[TriggerOverlap]:
    """Return the overlap of each unordered pair of triggers, largest first.

    The paper speaks of 625 combinations of 25 triggers; there are 300 unordered pairs.
    """
    found = [_overlap(one, other) for one, other in combinations(subsets, 2)]
    return sorted(found, key=lambda overlap: (-len(overlap.classes), overlap.triggers))


def _overlap(one: PoisonableSubset, other: PoisonableSubset) -> TriggerOverlap:
    first, second = sorted((one.trigger, other.trigger))
    shared = np.intersect1d(one.classes, other.classes)
    return TriggerOverlap((first, second), shared[(shared != first) & (shared != second)])
