"""What shifted together with a window's features, in the windows of other models as well.

What comes from upstream is seen by all models that a feature feeds; what one of them sees alone is
its own. So of the models that were off, the one in question among them, most must agree on a
feature. Another model, or a feature of one, belongs to the same story only if something upstream of
what shifted here can be felt there too.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from services.aggregator.domain.lineage.nodes import NodeId, feature_node, model_node
from services.aggregator.domain.lineage.observations import Sighting
from services.aggregator.domain.lineage.reach import Bounds, reach
from services.aggregator.domain.lineage.view import Direction, GraphView


@dataclass(frozen=True)
class MovedTogether:
    """Nodes that shifted at about the same time."""

    own: Sequence[NodeId]
    """The model in question, if it was off, and its features."""
    others: Sequence[NodeId]
    """Other models that were off, and features that only these see."""


def moved_together(own: Sighting, around: Iterable[Sighting]) -> MovedTogether:
    """Put together what a window showed and what others of about the same time did."""
    features, moves = {own.model: set(own.features)}, {own.model: {m.feature for m in own.moves}}
    off = {own.model} if own.has_moved else set()
    for sighting in around:
        # Its other windows may still have been healthy, or be broken by something else.
        if sighting.has_moved and sighting.model != own.model:
            off.add(sighting.model)
            features.setdefault(sighting.model, set()).update(sighting.features)
            moves.setdefault(sighting.model, set()).update(m.feature for m in sighting.moves)
    looked_at = Counter(name for names in features.values() for name in names)
    moved = Counter(name for names in moves.values() for name in names)
    agreed = {name for name, times in moved.items() if 2 * times > looked_at[name]}
    # A window whose features nobody else sees so still has its own question.
    kept = (moves[own.model] & agreed) or moves[own.model]
    return MovedTogether(
        own=[
            *(model_node(model) for model in off & {own.model}),
            *map(feature_node, sorted(kept)),
        ],
        others=[
            *(model_node(model) for model in sorted(off - {own.model})),
            *map(feature_node, sorted(agreed - moves[own.model])),
        ],
    )


def of_one_story(view: GraphView, moved: MovedTogether, bounds: Bounds) -> list[NodeId]:
    """Return own nodes, and others that something upstream of these can be felt at.

    Raises:
        NodeNotFound: nobody told of an own node.
    """
    own = np.array([view.number(node, "nodes.nodes") for node in moved.own], np.intp)
    known = [node for node in moved.others if view.nodes.find(node) is not None]
    if not known:
        return list(moved.own)
    above = reach(view, own, Direction.UPSTREAM, bounds).nodes
    below = reach(view, above, Direction.DOWNSTREAM, bounds).nodes
    reached = np.isin([view.number(node) for node in known], below)
    return [*moved.own, *(node for node, is_it in zip(known, reached, strict=True) if is_it)]
