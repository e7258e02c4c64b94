"""A downstream model's owner is warned of a shift before the model feels it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.aggregator.domain.lineage.nodes import NodeId, feature_node, model_node
from services.aggregator.domain.lineage.observations import Feeling, Observations, Sighting
from services.aggregator.domain.lineage.paths import LineagePath
from services.aggregator.domain.lineage.reach import Bounds, reach
from services.aggregator.domain.lineage.view import Direction, GraphView


@dataclass(frozen=True)
class PropagationWarning:
    """A shift that was seen in another model's window is on its way."""

    feature: NodeId
    """Of the warned model: through it the shift comes."""
    path: LineagePath
    """From what shifted to the warned model."""
    origin_shift: float
    expected_shift: float
    feeling: Feeling
    """Whether the feature has moved already."""
    event_time: datetime
    """End of the window in which the shift was seen."""


def warn(
    view: GraphView, model: str, sighting: Sighting, seen: Observations, bounds: Bounds
) -> Sequence[PropagationWarning]:
    """Return what a sighting of another model means for this one, the strongest first.

    What shifted in the sighting, the other model itself or a feature, is followed to each of this
    model's features; of what comes through one feature the strongest is told.
    """
    target = view.nodes.find(model_node(model))
    if target is None or sighting.model == model:
        return []
    moved = {feature_node(move.feature): move.shift for move in sighting.moves}
    if sighting.has_moved:
        moved[model_node(sighting.model)] = sighting.shift
    shifts = {view.nodes.find(node): shift for node, shift in moved.items()}
    above = reach(view, np.array([target], np.intp), Direction.UPSTREAM, bounds)
    strongest: dict[NodeId, PropagationWarning] = {}
    for position, number in enumerate(above.nodes.tolist()):
        if not position or number not in shifts:
            continue
        strength = float(above.strengths[position])
        path = view.nodes.ids(above.path(position)[::-1])
        warning = PropagationWarning(
            feature=path[-2],
            path=LineagePath(path, strength),
            origin_shift=shifts[number],
            expected_shift=shifts[number] * strength,
            feeling=next(seen.told(np.array([view.number(path[-2])])))[0],
            event_time=sighting.end,
        )
        known = strongest.get(warning.feature)
        if known is None or known.expected_shift < warning.expected_shift:
            strongest[warning.feature] = warning
    return sorted(strongest.values(), key=lambda warning: -warning.expected_shift)
