"""From candidates and leans to findings: labels by name, with what speaks for each."""

from collections.abc import Mapping, Sequence

import numpy as np

from services.audit.domain.report import (
    Finding,
    LabelRanking,
    NeighbourhoodEdge,
    OutcomeLean,
    PoisonableClass,
)
from services.audit.engine.candidates import Candidate
from services.audit.engine.concentration import Concentration
from services.audit.engine.graph import CooccurrenceGraph
from services.audit.engine.poisonable import PoisonableSubset

_DRAWN_CLASSES = 12
_DRAWN_NEIGHBOURS = 18


def findings(
    graph: CooccurrenceGraph,
    candidates: Sequence[Candidate],
    leans: Mapping[int, OutcomeLean],
) -> list[Finding]:
    """Return a finding for each candidate, and for each label that leans significantly.

    Args:
        graph: L labels.
        candidates: by the centralities.
        leans: by label, of those that rows hold; empty where rows have no outcomes.
    """
    of_candidates = [_of_candidate(graph, candidate, leans) for candidate in candidates]
    central = {candidate.trigger for candidate in candidates}
    leaning = [label for label, lean in leans.items() if lean.is_significant]
    others = [_finding(graph, label, (), (), leans) for label in leaning if label not in central]
    return [*of_candidates, *others]


def leans(
    concentrations: Sequence[Concentration], outcome_names: Sequence[str]
) -> dict[int, OutcomeLean]:
    """Return concentrations by label, with their outcomes' names."""
    return {
        found.label: OutcomeLean(
            outcome=outcome_names[found.class_index],
            row_count=found.rows,
            share=found.share,
            expected_share=found.expected_share,
            z=found.z,
            p_value=found.p_value,
            is_significant=found.is_significant,
        )
        for found in concentrations
    }


def neighbourhood(graph: CooccurrenceGraph, finding: Finding) -> list[NeighbourhoodEdge]:
    """Return the edges among a finding, its first classes and its strongest neighbours."""
    trigger = graph.names.index(finding.label)
    classes = [graph.names.index(found.label) for found in finding.classes[:_DRAWN_CLASSES]]
    overlaps = graph.overlaps_with(trigger)
    strongest = np.argsort(-overlaps, kind="stable")[:_DRAWN_NEIGHBOURS]
    chosen = [*classes, *strongest[overlaps[strongest] > 0]]
    drawn = np.unique(np.array([trigger, *chosen], dtype=np.int64))
    shared = np.triu(graph.overlaps_among(drawn), 1)
    return [
        NeighbourhoodEdge(graph.names[drawn[i]], graph.names[drawn[j]], int(shared[i, j]))
        for i, j in np.argwhere(shared >= graph.min_overlaps)
    ]


def _of_candidate(
    graph: CooccurrenceGraph, candidate: Candidate, leans: Mapping[int, OutcomeLean]
) -> Finding:
    rankings = tuple(
        LabelRanking(place.measure, place.rank, place.value) for place in candidate.rankings
    )
    classes = _classes(graph, candidate.subset)
    return _finding(
        graph, candidate.trigger, rankings, classes, leans, is_usable=candidate.subset.is_usable
    )


def _finding(
    graph: CooccurrenceGraph,
    label: int,
    rankings: tuple[LabelRanking, ...],
    classes: tuple[PoisonableClass, ...],
    leans: Mapping[int, OutcomeLean],
    *,
    is_usable: bool = False,
) -> Finding:
    neighbours = int(graph.degrees[label])
    return Finding(
        label=graph.names[label],
        neighbour_count=neighbours,
        row_count=None if graph.label_counts is None else int(graph.label_counts[label]),
        rankings=rankings,
        classes=classes,
        is_usable=is_usable,
        exposure=neighbours / max(1, len(graph.names) - 1),
        concentration=leans.get(label),
    )


def _classes(graph: CooccurrenceGraph, subset: PoisonableSubset) -> tuple[PoisonableClass, ...]:
    usable = set(subset.usable_classes.tolist())
    clean = subset.clean_rows
    return tuple(
        PoisonableClass(
            label=graph.names[label],
            trigger_rows=int(subset.trigger_rows[i]),
            clean_rows=None if clean is None else int(clean[i]),
            is_usable=label in usable,
        )
        for i, label in enumerate(subset.classes.tolist())
    )
