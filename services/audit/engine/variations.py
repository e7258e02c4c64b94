"""What else may be asked of triggers: overlaps, sweeps, larger sets, thresholds (appendix)."""

from collections.abc import Collection, Sequence

import numpy as np

from services.audit.domain.errors import InvalidParameters
from services.audit.domain.parameters import LargerSetParameters, SubsetParameters
from services.audit.domain.report import (
    LabelOverlap,
    LabelSweep,
    LargerClassSet,
    ThresholdCount,
    ThresholdErrors,
    ThresholdReport,
)
from services.audit.domain.rows import LabelRows
from services.audit.domain.snapshot import ScoredLabels
from services.audit.engine.graph import CooccurrenceGraph
from services.audit.engine.larger_sets import from_independent_set, from_random_classes
from services.audit.engine.overlaps import trigger_overlaps
from services.audit.engine.poisonable import PoisonableSubset
from services.audit.engine.sweep import sweep_edge_threshold
from services.audit.engine.thresholds import calibrate_threshold

_TOLD_OVERLAPS = 100


def overlaps(names: Sequence[str], subsets: Sequence[PoisonableSubset]) -> tuple[LabelOverlap, ...]:
    """Return the classes that pairs of triggers could poison together, the largest first."""
    found = [overlap for overlap in trigger_overlaps(subsets) if len(overlap.classes)]
    return tuple(
        LabelOverlap(
            names[overlap.triggers[0]],
            names[overlap.triggers[1]],
            tuple(names[label] for label in overlap.classes),
        )
        for overlap in found[:_TOLD_OVERLAPS]
    )


def sweep(
    graph: CooccurrenceGraph,
    trigger: int,
    parameters: SubsetParameters,
    thresholds: Sequence[int],
    excluded: Collection[int],
) -> LabelSweep:
    """Return a trigger's classes at each edge threshold."""
    points = sweep_edge_threshold(graph, trigger, parameters, thresholds, excluded)
    return LabelSweep(
        graph.names[trigger],
        tuple(
            ThresholdCount(
                point.min_overlaps, point.class_count, point.usable_class_count, point.dilution
            )
            for point in points
        ),
    )


def larger_sets(
    rows: LabelRows,
    subset: PoisonableSubset,
    parameters: LargerSetParameters,
    excluded: Collection[int],
    seed: int,
) -> tuple[list[LargerClassSet], list[str]]:
    """Return a trigger's classes among more, drawn both ways, and why one could not be drawn."""
    found, notes = [], []
    for is_independent in (True, False):
        poisoned, added = parameters.poisoned, parameters.added
        try:
            drawn = (
                from_independent_set(rows, subset, poisoned=poisoned, added=added, seed=seed)
                if is_independent
                else from_random_classes(
                    rows, subset, poisoned=poisoned, added=added, seed=seed, excluded=excluded
                )
            )
        except InvalidParameters as error:
            notes.append(f"larger set of {rows.names[subset.trigger]!r}: {error}")
            continue
        found.append(
            LargerClassSet(
                label=rows.names[subset.trigger],
                poisoned=tuple(rows.names[label] for label in drawn.poisoned),
                added=tuple(rows.names[label] for label in drawn.added),
                is_from_independent_set=is_independent,
                row_count=len(drawn.rows),
            )
        )
    return found, notes


def calibrated(scored: ScoredLabels, steps: int) -> ThresholdReport:
    """Return the errors of machine-made labels at `steps` thresholds between 0 and 1."""
    grid = np.arange(1, steps + 1) / (steps + 1)
    found = calibrate_threshold(scored.scores, scored.truth, grid)
    return ThresholdReport(
        tuple(
            ThresholdErrors(float(threshold), int(positives), int(negatives))
            for threshold, positives, negatives in zip(
                found.thresholds, found.false_positives, found.false_negatives, strict=True
            )
        ),
        found.chosen,
    )
