"""What stops or changes if something is switched off."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.nodes import NodeId, NodeKind
from services.aggregator.domain.lineage.paths import LineagePath
from services.aggregator.domain.lineage.reach import Bounds, Reach, Truncation, reach
from services.aggregator.domain.lineage.view import Direction, GraphView


@dataclass(frozen=True)
class AffectedModel:
    """A model that would notice."""

    model: NodeId
    change: float
    """Of the logarithm of its mean prediction, at most, whatever its sign."""
    features: Sequence[NodeId]
    """Through which it would notice, the strongest first."""
    path: LineagePath
    """The strongest, from what is switched off."""


@dataclass(frozen=True)
class BlastRadius:
    """All that would notice."""

    models: Sequence[AffectedModel]
    """The most affected first."""
    model_count: int
    """Of all, told or not."""
    feature_count: int
    node_count: int
    truncation: Truncation


def blast_radius(
    view: GraphView,
    origins: NDArray[np.intp],
    model: int | None,
    bounds: Bounds,
    limit: int = 100,
) -> BlastRadius:
    """Return which models change if the origins, intp [O], are switched off together.

    At most `limit` are told. With `model`, features are switched off in that model only: whom else
    they feed does not notice.

    A switched-off node counts as a shift of 1, which for a feature is the loss of all its
    importance. A node's shift is the sum of its parents' shifts times the strengths of their edges,
    once for each path within the bounds; data and features saturate at 1, for more than all of them
    cannot be lost. Importances of features add up though their effects may cancel, so the change of
    a model is what it is at most.
    """
    starts = origins if model is None else np.array([model], np.intp)
    below = reach(view, starts, Direction.DOWNSTREAM, bounds)
    shift = np.zeros(len(below.nodes))
    shift[: len(starts)] = 1.0
    own: list[int] = []
    if model is not None:
        own, shift[0] = _own_features(view, origins, model)
    shifts = _spread(view, below, shift, bounds.depth)
    is_model = view.nodes.are(NodeKind.MODEL, below.nodes) & (shifts > 0)
    positions = np.flatnonzero(is_model)
    positions = positions[np.argsort(-shifts[positions], kind="stable")]
    ids = view.nodes.ids
    features = view.nodes.are(NodeKind.FEATURE, below.nodes)
    return BlastRadius(
        models=[
            AffectedModel(
                model=view.nodes.id(int(below.nodes[position])),
                change=float(shifts[position]),
                features=ids(
                    own if own and not position else _through(below, shifts, position, features)
                ),
                path=LineagePath(ids(below.path(position)), float(below.strengths[position])),
            )
            for position in positions[:limit].tolist()
        ],
        model_count=len(positions),
        feature_count=int(np.count_nonzero(features)) + len(own),
        node_count=len(below.nodes) - len(starts),
        truncation=replace(below.truncation, size=len(positions) > limit),
    )


def _own_features(
    view: GraphView, features: NDArray[np.intp], model: int
) -> tuple[list[int], float]:
    """Return those of the features that feed the model, the strongest first, and their sum."""
    steps = view.steps(features, Direction.DOWNSTREAM)
    steps = steps.where(steps.nodes == model)
    strengths: dict[int, float] = {}
    for place, strength in zip(steps.places, steps.strengths, strict=True):
        feature = int(features[place])
        strengths[feature] = max(float(strength), strengths.get(feature, 0.0))
    return sorted(strengths, key=lambda f: -strengths[f]), sum(strengths.values())


def _spread(
    view: GraphView, below: Reach, given: NDArray[np.float64], depth: int
) -> NDArray[np.float64]:
    """Return the shifts, [R], by as many rounds over the edges as a path may have edges."""
    saturates = ~(
        view.nodes.are(NodeKind.MODEL, below.nodes) | view.nodes.are(NodeKind.OUTPUT, below.nodes)
    )
    sources, targets, strengths = _distinct(below)
    shifts = given
    for _ in range(depth):
        passed = np.bincount(targets, shifts[sources] * strengths, minlength=len(given))
        following = given + passed
        following[saturates] = np.minimum(following[saturates], 1.0)
        if np.allclose(following, shifts, rtol=1e-9, atol=0):
            break
        shifts = following
    return shifts


def _distinct(
    below: Reach,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return each edge once, though several told of it, with its largest strength.

    Edges back to the origins are left out: what is switched off is not switched off again.
    """
    onward = np.flatnonzero(below.distances[below.targets] > 0)
    sources, targets = below.sources[onward], below.targets[onward]
    strengths = below.edge_strengths[onward]
    order = np.lexsort((-strengths, sources, targets))
    pairs = targets[order] * len(below.nodes) + sources[order]
    firsts = order[np.flatnonzero(np.diff(pairs, prepend=-1))]
    return sources[firsts], targets[firsts], strengths[firsts]


def _through(
    below: Reach, shifts: NDArray[np.float64], position: int, features: NDArray[np.bool_]
) -> list[int]:
    into = np.flatnonzero((below.targets == position) & features[below.sources])
    parents = below.sources[into]
    felt = shifts[parents] * below.edge_strengths[into]
    ordered = parents[np.argsort(-felt, kind="stable")]
    return [int(below.nodes[parent]) for parent in dict.fromkeys(ordered.tolist())]
