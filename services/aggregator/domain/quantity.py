"""What is counted of each feature's values, and in which order.

A *distribution* is one quantity of one feature. Their order is the contract's: by feature as the
checkpoint lists them, and within a feature as below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from services.aggregator.domain.checkpoint import Feature, FeatureKind


class Quantity(Enum):
    """What is counted of a value."""

    VALUE = "VALUE"
    """The number itself."""
    NORM = "NORM"
    """Euclidean, of the decoded vector."""
    LENGTH = "LENGTH"
    """How many ids a list has."""
    WEIGHT_SUM = "WEIGHT_SUM"
    """Of a weighted list."""
    ID = "ID"
    """The id, or each id of a list."""

    @property
    def is_proxy(self) -> bool:
        """Whether it stands for its feature in the model-feature correlation."""
        return self in (Quantity.VALUE, Quantity.LENGTH, Quantity.WEIGHT_SUM)


QUANTITIES = {
    FeatureKind.NUMERIC: (Quantity.VALUE,),
    FeatureKind.CATEGORICAL: (Quantity.ID,),
    FeatureKind.ID_LIST: (Quantity.LENGTH, Quantity.ID),
    FeatureKind.WEIGHTED_ID_LIST: (Quantity.LENGTH, Quantity.WEIGHT_SUM, Quantity.ID),
    FeatureKind.EMBEDDING: (Quantity.NORM,),
    FeatureKind.ENCODED_EMBEDDING: (Quantity.NORM,),
    FeatureKind.GROUP: (),
}
"""Of each kind of feature. A group has no value of its own."""


@dataclass(frozen=True)
class Distribution:
    """One quantity of the feature at that place in the checkpoint."""

    feature: int
    quantity: Quantity


@dataclass(frozen=True)
class Layout:
    """All distributions of a checkpoint, in order."""

    distributions: tuple[Distribution, ...]

    @cached_property
    def proxies(self) -> tuple[int, ...]:
        """Places of the distributions whose correlation with the prediction is known."""
        return tuple(d for d, each in enumerate(self.distributions) if each.quantity.is_proxy)

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Places of the distributions of ids."""
        found = enumerate(self.distributions)
        return tuple(d for d, each in found if each.quantity is Quantity.ID)


def layout_of(features: Sequence[Feature]) -> Layout:
    """Return the distributions of these features."""
    return Layout(
        tuple(
            Distribution(j, quantity)
            for j, feature in enumerate(features)
            for quantity in QUANTITIES[feature.kind]
        )
    )
