"""How much of a shift an edge passes on.

A feature's shift is the change of its GFI in multiples of its healthy GFI. So along its edge into a
model, whose strength is that GFI, it becomes a change of the model's log prediction; along identity
edges from there on it is the same change again, of whatever the model's output has become.
"""

from enum import Enum

from services.aggregator.domain.lineage.facts import Transform, TransformKind
from services.aggregator.domain.lineage.nodes import NodeKind

LEAST = 1e-4
"""Even a feature that had no importance while it was healthy can begin to matter when it breaks."""
_OF_A_FEATURE = 0.01
"""GFI of a middling feature, for a model whose importances nobody has measured."""
_OF_A_DIRECT_TRANSFORM = 1.0
_OF_AN_INDIRECT_TRANSFORM = 0.1
"""Which rows there are changes less than what is in them."""


class StrengthBasis(Enum):
    """Where an edge's strength comes from."""

    MEASURED = "MEASURED"
    DECLARED = "DECLARED"
    ASSUMED = "ASSUMED"


def assumed_strength(source: NodeKind, target: NodeKind, transform: Transform) -> float:
    """Return the strength of an edge that nobody has measured or declared."""
    if source is NodeKind.FEATURE and target is NodeKind.MODEL:
        return _OF_A_FEATURE
    if transform.kind is TransformKind.INDIRECT:
        return _OF_AN_INDIRECT_TRANSFORM
    return _OF_A_DIRECT_TRANSFORM
