"""A company's lineage: 100,000 nodes and 500,000 edges in layers, with cycles."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.edges import ROW
from services.aggregator.domain.lineage.facts import Node, Transform
from services.aggregator.domain.lineage.nodes import (
    NodeId,
    NodeKind,
    feature_node,
    model_node,
    output_node,
)
from services.aggregator.domain.lineage.observations import FeatureMove, Sighting
from services.aggregator.domain.lineage.spans import FOREVER, micros
from services.aggregator.domain.lineage.state import GraphState
from services.aggregator.domain.lineage.strength import LEAST

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
JOBS, DATASETS, COLUMNS, FEATURES, MODELS = 2_000, 8_000, 60_000, 29_000, 500
NODES, EDGES = 100_000, 500_000
_FEATURES_OF_A_MODEL = 240
_BROKEN_MODELS = 5
_MOVED_FEATURES = 20
PROVENANCE = "company"


@dataclass(frozen=True, eq=False)
class World:
    """Nodes, and edges by their numbers: int64 [E], [E]; strengths float64 [E]."""

    nodes: Sequence[NodeId]
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    strengths: NDArray[np.float64]

    def state(self) -> GraphState:
        """Return the graph that is known once all edges were told of, as it is kept."""
        pairs = self.sources * len(self.nodes) + self.targets
        # Edges that were drawn twice have the same strength.
        drawn = np.sort(np.unique(pairs, return_index=True)[1])
        rows = np.zeros(len(drawn), ROW)
        rows["source"], rows["target"] = self.sources[drawn], self.targets[drawn]
        rows["declared"] = rows["strength"] = self.strengths[drawn]
        rows["measured"] = np.nan
        rows["start"] = rows["last"] = micros(SINCE)
        rows["end"] = FOREVER
        return GraphState(list(map(Node, self.nodes)), [PROVENANCE], [Transform()], rows, {})

    def features_of(self, model: int) -> tuple[str, ...]:
        """Return the names of a model's features."""
        number = len(self.nodes) - 2 * MODELS + model
        return tuple(self.nodes[s].name for s in self.sources[self.targets == number])

    def origins(self, per_kind: int, seed: int) -> list[int]:
        """Return some jobs, datasets, columns, features and models, as many of each."""
        rng = np.random.default_rng(seed)
        ends = np.cumsum([0, JOBS, DATASETS, COLUMNS, FEATURES, MODELS]).tolist()
        return [
            int(number)
            for first, last in pairwise(ends)
            for number in rng.integers(first, last, per_kind)
        ]

    def sightings(self) -> list[Sighting]:
        """Return one window of each model: a few broke, each with some of its features."""
        rng = np.random.default_rng(1)
        made = []
        for model in range(MODELS):
            features = self.features_of(model)
            is_broken = model < _BROKEN_MODELS
            start = NOON - int(rng.integers(1, 4)) * HOUR
            count = _MOVED_FEATURES if is_broken else 0
            moved = rng.choice(features, count, replace=False)
            moves = [FeatureMove(str(name), 2.0) for name in moved]
            shift = 0.3 if is_broken else 0.01
            made.append(
                Sighting(f"m{model}", start, start + HOUR, shift, is_broken, features, moves)
            )
        return made


def build(seed: int) -> World:
    """Return a world: datasets through jobs into datasets, columns into columns and features,
    features into models, models' outputs into features again."""
    rng = np.random.default_rng(seed)
    nodes = [
        *(NodeId(NodeKind.JOB, "airflow", f"team{n % 40}.job{n}") for n in range(JOBS)),
        *(NodeId(NodeKind.DATASET, "s3://lake", f"db{n % 50}.table{n}") for n in range(DATASETS)),
        *(
            NodeId(NodeKind.COLUMN, "s3://lake", f"table{n % DATASETS}", f"c{n}")
            for n in range(COLUMNS)
        ),
        *(feature_node(f"feature_{n}") for n in range(FEATURES)),
        *(model_node(f"m{n}") for n in range(MODELS)),
        *(output_node(f"m{n}", "score") for n in range(MODELS)),
    ]
    starts = np.cumsum([0, JOBS, DATASETS, COLUMNS, FEATURES, MODELS]).tolist()
    job, dataset, column, feature, model, output = starts

    def some(first: int, last: int, count: int) -> NDArray[np.int64]:
        return rng.integers(first, last, count)

    # Popular features feed many models.
    popularity = 1 / (1 + np.arange(FEATURES)) ** 0.6
    chosen = np.concatenate(
        [
            rng.choice(
                FEATURES, _FEATURES_OF_A_MODEL, replace=False, p=popularity / popularity.sum()
            )
            for _ in range(MODELS)
        ]
    )
    parts = [
        (some(dataset, column, 3 * JOBS), np.repeat(np.arange(job, dataset), 3), 1.0),
        (np.repeat(np.arange(job, dataset), 4), np.arange(dataset, column), 1.0),
        (dataset + np.arange(COLUMNS) % DATASETS, np.arange(column, feature), 1.0),
        (some(column, feature, 3 * FEATURES), np.repeat(np.arange(feature, model), 3), 1.0),
        (feature + chosen, np.repeat(np.arange(model, output), _FEATURES_OF_A_MODEL), None),
        (np.arange(model, output), np.arange(output, NODES), 1.0),
        (np.repeat(np.arange(output, NODES), 4), some(feature, model, 4 * MODELS), 1.0),
    ]
    left = EDGES - sum(len(sources) for sources, _, _ in parts)
    parts.append((some(column, feature, left), some(column, feature, left), 0.5))
    strengths = [
        # No importance is less in the graph, and both are to have the same one.
        np.maximum(rng.lognormal(-5, 1.5, len(sources)), LEAST)
        if strength is None
        else np.full(len(sources), strength)
        for sources, _, strength in parts
    ]
    return World(
        nodes=nodes,
        sources=np.concatenate([sources for sources, _, _ in parts]),
        targets=np.concatenate([targets for _, targets, _ in parts]),
        strengths=np.concatenate(strengths),
    )
