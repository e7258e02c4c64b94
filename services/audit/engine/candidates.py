"""From a graph to triggers and what each could poison: algorithm 1 of the paper, in one call."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.audit.domain.parameters import Measure, SubsetParameters
from services.audit.engine.centrality import centrality, most_central
from services.audit.engine.graph import CooccurrenceGraph
from services.audit.engine.poisonable import PoisonableSubset, poisonable_subset


@dataclass(frozen=True)
class Ranking:
    """Where one measure puts a label."""

    measure: Measure
    rank: int
    """1 is the most central."""
    value: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """A label that is central by some measure, and what it could poison."""

    trigger: int
    rankings: tuple[Ranking, ...]
    """By each measure that has it among the top."""
    subset: PoisonableSubset


def find_candidates(
    graph: CooccurrenceGraph,
    measures: Sequence[Measure],
    top: int,
    parameters: SubsetParameters,
    excluded: Collection[int] = (),
) -> list[Candidate]:
    """Return the labels that are among the top of any measure, those with most classes first.

    Args:
        graph: L labels.
        measures: which centralities.
        top: how many labels of each measure are candidates, m.
        parameters: what the classes need.
        excluded: labels that are neither triggers nor classes. They keep their place in the graph,
            since what they connect is connected.
    """
    rankings: dict[int, list[Ranking]] = {}
    for measure in measures:
        values = centrality(graph, measure)
        for rank, trigger in enumerate(most_central(graph, values, top).tolist(), start=1):
            place = Ranking(measure, rank, float(values[trigger]))
            rankings.setdefault(trigger, []).append(place)
    found = [
        Candidate(trigger, tuple(places), poisonable_subset(graph, trigger, parameters, excluded))
        for trigger, places in rankings.items()
        if trigger not in excluded
    ]
    return sorted(
        found, key=lambda candidate: (-len(candidate.subset.usable_classes), candidate.trigger)
    )
