"""What a trigger could poison: classes that meet it often and each other seldom (section E.3)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.errors import InvalidParameters, TooLargeForExact, UnknownLabel
from services.audit.domain.parameters import SubsetParameters, Usability
from services.audit.engine.graph import CooccurrenceGraph
from services.audit.engine.independent_set import independent_set

_MOST_SEARCHED = 20_000
"""Classes whose overlaps with each other take three gigabytes."""


@dataclass(frozen=True, eq=False)
class PoisonableSubset:
    """A trigger and the classes that it could poison, without conflicts among them."""

    trigger: int
    classes: NDArray[np.int64]
    """[C] labels, rising."""
    trigger_rows: NDArray[np.int64]
    """[C] rows that hold class and trigger."""
    clean_rows: NDArray[np.int64] | None
    """[C] rows that hold the class alone of the two; None where rows a label are not known."""
    usable_classes: NDArray[np.int64]
    """[U] those of the classes with rows enough."""
    is_usable: bool
    """There are classes enough with rows enough."""


def poisonable_subset(
    graph: CooccurrenceGraph,
    trigger: int,
    parameters: SubsetParameters,
    excluded: Collection[int] = (),
) -> PoisonableSubset:
    """Return the largest set of classes found that the trigger could poison.

    Only neighbours with rows enough enter the search, so that no class of the set is wasted.

    Args:
        graph: L labels.
        trigger: its label.
        parameters: what the classes need.
        excluded: labels that are no classes.

    Raises:
        TooLargeForExact: it has too many possible classes.
    """
    overlaps = graph.overlaps_with(trigger)
    near = overlaps >= max(1, parameters.min_trigger_overlaps)
    near[trigger] = False
    near[list(excluded)] = False
    neighbours = np.flatnonzero(near)
    enough = _has_rows(graph, neighbours, overlaps, parameters.usability)
    # Those with rows enough are what counts; the others are taken where nothing usable is left.
    searched = neighbours[enough] if enough.sum() else neighbours
    if len(searched) > _MOST_SEARCHED:
        raise TooLargeForExact(
            f"{graph.names[trigger]!r} has {len(searched)} possible classes, and conflicts are "
            f"sought among {_MOST_SEARCHED}: raise min_trigger_overlaps, or exclude the label",
            field="min_trigger_overlaps",
        )
    conflicts = graph.overlaps_among(searched) > _tolerated(graph, parameters)
    np.fill_diagonal(conflicts, val=False)
    found = independent_set(conflicts, parameters.method, parameters.restarts, parameters.seed)
    classes = searched[found]
    usable = classes[_has_rows(graph, classes, overlaps, parameters.usability)]
    return PoisonableSubset(
        trigger=trigger,
        classes=classes,
        trigger_rows=overlaps[classes],
        clean_rows=_clean_rows(graph, classes, overlaps),
        usable_classes=usable,
        is_usable=len(usable) >= parameters.usability.min_classes,
    )


def excluded_labels(
    graph: CooccurrenceGraph,
    excluded: Sequence[str],
    row_count: int | None = None,
    max_row_share: float = 1.0,
) -> frozenset[int]:
    """Return the labels that are no triggers: those listed, and those that nearly every row holds.

    Raises:
        UnknownLabel: a listed name is no label.
        InvalidParameters: a share is asked for where rows a label are not known.
    """
    known = {name: label for label, name in enumerate(graph.names)}
    for name in excluded:
        if name not in known:
            raise UnknownLabel(f"no label is named {name!r}: check its spelling", field="excluded")
    labels = frozenset(known[name] for name in excluded)
    if max_row_share >= 1.0:
        return labels
    if graph.label_counts is None or row_count is None:
        raise InvalidParameters(
            "max_row_share needs rows: a matrix does not tell how many rows hold a label",
            field="max_row_share",
        )
    frequent = np.flatnonzero(graph.label_counts > max_row_share * row_count)
    return labels | frozenset(frequent.tolist())


def _tolerated(graph: CooccurrenceGraph, parameters: SubsetParameters) -> int:
    if parameters.tolerated_class_overlaps is None:
        return graph.min_overlaps - 1
    return parameters.tolerated_class_overlaps


def _clean_rows(
    graph: CooccurrenceGraph, classes: NDArray[np.int64], overlaps: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    if graph.label_counts is None:
        return None
    return graph.label_counts[classes] - overlaps[classes]


def _has_rows(
    graph: CooccurrenceGraph,
    classes: NDArray[np.int64],
    overlaps: NDArray[np.int64],
    usability: Usability,
) -> NDArray[np.bool_]:
    enough = overlaps[classes] >= usability.min_trigger_rows
    clean = _clean_rows(graph, classes, overlaps)
    return enough if clean is None else enough & (clean >= usability.min_clean_rows)
