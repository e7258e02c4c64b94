"""Features by kind, their Arrow types, and the program inputs that carry them.

The vocabulary and the manifest's fields are those of docs/reference/checkpoint.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa

DENSE = "dense"
CATEGORIES = "categories"
FLOATS_PER_WORD = 4


class FeatureKind(StrEnum):
    """The six kinds of input."""

    NUMERIC = "NUMERIC"
    CATEGORICAL = "CATEGORICAL"
    ID_LIST = "ID_LIST"
    WEIGHTED_ID_LIST = "WEIGHTED_ID_LIST"
    EMBEDDING = "EMBEDDING"
    ENCODED_EMBEDDING = "ENCODED_EMBEDDING"


LISTS = (FeatureKind.ID_LIST, FeatureKind.WEIGHTED_ID_LIST)
VECTORS = (FeatureKind.EMBEDDING, FeatureKind.ENCODED_EMBEDDING)


@dataclass(frozen=True)
class Feature:
    """One named input.

    `size` is the longest list, the dimension of an embedding or the number of int64 words of an
    encoded one; `cardinality` bounds ids from above; `baseline` is used by numeric features only:
    every other kind has zeros.
    """

    name: str
    kind: FeatureKind
    baseline: float = 0.0
    cardinality: int | None = None
    size: int = 0

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the logged column; numeric columns may also be integers."""
        return {
            FeatureKind.NUMERIC: pa.float32(),
            FeatureKind.CATEGORICAL: pa.int64(),
            FeatureKind.ID_LIST: pa.list_(pa.int64()),
            FeatureKind.WEIGHTED_ID_LIST: pa.list_(
                pa.struct([("id", pa.int64()), ("weight", pa.float32())])
            ),
            FeatureKind.EMBEDDING: pa.list_(pa.float32(), self.size),
            FeatureKind.ENCODED_EMBEDDING: pa.list_(pa.int64(), self.size),
        }[self.kind]

    @property
    def dimension(self) -> int:
        """Floats in the vector that the model sees (embeddings only)."""
        return self.size * (FLOATS_PER_WORD if self.kind is FeatureKind.ENCODED_EMBEDDING else 1)


@dataclass(frozen=True)
class Input:
    """One positional argument of the program; `shape` leaves out the batch dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Schema:
    """Features in the order of the logged table's columns, and the inputs that carry them.

    Numeric features share one packed input, so do categorical ones; every other feature has its
    own, a weighted list two.
    """

    features: tuple[Feature, ...]

    def of_kind(self, *kinds: FeatureKind) -> tuple[Feature, ...]:
        """The features of these kinds, in order."""
        return tuple(feature for feature in self.features if feature.kind in kinds)

    def names(self, *kinds: FeatureKind) -> tuple[str, ...]:
        """The names of all features, or of these kinds."""
        return tuple(f.name for f in (self.of_kind(*kinds) if kinds else self.features))

    def feature(self, name: str) -> Feature:
        """The feature of this name; KeyError if there is none."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(name)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The program's arguments in order."""
        packed = [
            Input(DENSE, "float32", (len(self.of_kind(FeatureKind.NUMERIC)),)),
            Input(CATEGORIES, "int64", (len(self.of_kind(FeatureKind.CATEGORICAL)),)),
        ]
        own = [i for f in self.of_kind(*LISTS, *VECTORS) for i in inputs_of(f)]
        return tuple(packed + own)

    def to_json(self) -> list[dict[str, Any]]:
        """What the world's cache keeps: enough for `from_json`."""
        return [
            {
                "name": f.name,
                "kind": str(f.kind),
                "baseline": f.baseline,
                "cardinality": f.cardinality,
                "size": f.size,
            }
            for f in self.features
        ]

    @classmethod
    def from_json(cls, features: Sequence[Mapping[str, Any]]) -> "Schema":
        """The inverse of `to_json`."""
        return cls(
            tuple(Feature(**{**fields, "kind": FeatureKind(fields["kind"])}) for fields in features)
        )


def inputs_of(feature: Feature) -> tuple[Input, ...]:
    """The inputs that a list or a vector has of its own."""
    match feature.kind:
        case FeatureKind.WEIGHTED_ID_LIST:
            return (
                Input(feature.name, "int64", (feature.size,)),
                Input(weights_input(feature), "float32", (feature.size,)),
            )
        case FeatureKind.EMBEDDING:
            return (Input(feature.name, "float32", (feature.size,)),)
        case _:
            return (Input(feature.name, "int64", (feature.size,)),)


def weights_input(feature: Feature) -> str:
    """The name of the input that carries a weighted list's weights."""
    return f"{feature.name}__weights"
