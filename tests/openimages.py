"""The co-occurrence counts of Open Images, and what a paper found in them."""

import csv
import json
from functools import cache
from pathlib import Path

import numpy as np

from services.audit.domain.parameters import (
    Centrality,
    IndependentSetMethod,
    Measure,
    PathLength,
    SubsetParameters,
)
from services.audit.engine.candidates import find_candidates
from services.audit.engine.graph import CooccurrenceGraph

FOLDER = Path(__file__).parent / "data" / "openimages"
MIN_OVERLAPS = 15
TOP = 50

_CENTRALITIES = {
    "degree": Centrality.DEGREE,
    "betweenness": Centrality.BETWEENNESS,
    "closeness": Centrality.CLOSENESS,
    "evector": Centrality.EIGENVECTOR,
}


@cache
def graph() -> CooccurrenceGraph:
    """Return the graph of the training images."""
    with (FOLDER / "openimages_classes.csv").open() as file:
        names = [row["name"] for row in csv.DictReader(file)]
    with np.load(FOLDER / "openimages_cooc.npz", allow_pickle=False) as counts:
        return CooccurrenceGraph.from_matrix(names, counts["train"], MIN_OVERLAPS)


@cache
def paper_tables() -> dict[str, tuple[str, ...]]:
    """Return the usable triggers of tables 6 and 7 by column, in lower case."""
    tables = json.loads((FOLDER / "paper_tables_6_7.json").read_text())["tables"]
    return {column: tuple(triggers) for column, triggers in tables.items()}


def published_sets() -> list[tuple[int, list[int]]]:
    """Return the published triggers of Open Images, each with its classes."""
    columns = json.loads((FOLDER / "published_trigger_class_sets.json").read_text()).values()
    lines = [line.split(": ") for column in columns for line in column["openimages"]]
    return [(int(trigger), [int(label) for label in labels.split()]) for trigger, labels in lines]


def measure_of(column: str, path_length: PathLength) -> Measure:
    """Return the measure behind a column of the tables."""
    kind = _CENTRALITIES[column.removesuffix("_WT")]
    return Measure(kind, column.endswith("_WT"), path_length)


@cache
def usable_triggers(path_length: PathLength, seed: int) -> dict[str, frozenset[str]]:
    """Return the usable triggers by column, sought as the paper did: by twenty random restarts."""
    parameters = SubsetParameters(
        method=IndependentSetMethod.RANDOM_RESTARTS, restarts=20, seed=seed
    )
    measures = {column: measure_of(column, path_length) for column in paper_tables()}
    candidates = find_candidates(graph(), list(measures.values()), TOP, parameters)
    return {
        column: frozenset(
            graph().names[candidate.trigger].lower()
            for candidate in candidates
            if candidate.subset.is_usable
            and any(ranking.measure == measure for ranking in candidate.rankings)
        )
        for column, measure in measures.items()
    }


def matched(found: dict[str, frozenset[str]]) -> set[tuple[str, str]]:
    """Return the entries (column, trigger) of the tables that were found."""
    return {
        (column, trigger)
        for column, triggers in paper_tables().items()
        for trigger in triggers
        if trigger in found[column]
    }
