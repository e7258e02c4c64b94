"""What the aggregator must know of a checkpoint: whose it is, what it saw, what it reports."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class FeatureKind(Enum):
    """How a feature's values look."""

    NUMERIC = "NUMERIC"
    CATEGORICAL = "CATEGORICAL"
    ID_LIST = "ID_LIST"
    WEIGHTED_ID_LIST = "WEIGHTED_ID_LIST"
    EMBEDDING = "EMBEDDING"
    ENCODED_EMBEDDING = "ENCODED_EMBEDDING"
    GROUP = "GROUP"
    """Several columns of the examples that are ablated as one."""


@dataclass(frozen=True)
class Feature:
    """One input of a model."""

    name: str
    kind: FeatureKind


@dataclass(frozen=True)
class Checkpoint:
    """One trained version of a model."""

    model: str
    version: str
    digest: str
    """SHA-256 of the manifest, in hexadecimal."""
    trained_until: datetime
    """The time until which it has seen data."""
    features: tuple[Feature, ...]
    """In the order in which importances are reported."""

    @property
    def name(self) -> str:
        """Resource name."""
        return f"models/{self.model}/checkpoints/{self.version}"
