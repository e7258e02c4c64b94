"""A place in a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """What a two-dimensional convolution answers."""

    path: str
    """Of the convolution in the model, such as features.5."""
    is_activated: bool = False
    """What the activation behind it makes of that."""
