"""How the edge threshold trades larger sets of classes for less clean rows (figure 14)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.parameters import SubsetParameters
from services.audit.engine.graph import CooccurrenceGraph
from services.audit.engine.poisonable import poisonable_subset


@dataclass(frozen=True)
class SweepPoint:
    """One edge threshold."""

    min_overlaps: int
    class_count: int
    usable_class_count: int
    dilution: float | None
    """Expected labels of the set, besides its own class, that a row of a class holds, averaged over
    the classes; None where rows a label are not known, 0 where the set has fewer than two."""


def sweep_edge_threshold(
    graph: CooccurrenceGraph,
    trigger: int,
    parameters: SubsetParameters,
    thresholds: Sequence[int],
    excluded: Collection[int] = (),
) -> list[SweepPoint]:
    """Return size and dilution of the trigger's classes at each edge threshold.

    What shares fewer rows than the threshold counts as independent, so a higher one finds larger
    sets whose clean rows hold more of each other.
    """
    return [
        _point(replace(graph, min_overlaps=threshold), trigger, parameters, excluded)
        for threshold in thresholds
    ]


def _point(
    graph: CooccurrenceGraph,
    trigger: int,
    parameters: SubsetParameters,
    excluded: Collection[int],
) -> SweepPoint:
    subset = poisonable_subset(graph, trigger, parameters, excluded)
    return SweepPoint(
        graph.min_overlaps,
        len(subset.classes),
        len(subset.usable_classes),
        _dilution(graph, subset.classes),
    )


def _dilution(graph: CooccurrenceGraph, classes: NDArray[np.int64]) -> float | None:
    if graph.label_counts is None:
        return None
    if len(classes) < 2:
        return 0.0
    shared = graph.overlaps_among(classes).sum(axis=1)
    return float((shared / np.maximum(1, graph.label_counts[classes])).mean())
