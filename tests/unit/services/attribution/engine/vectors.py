"""Features of all six kinds in packed and own inputs, and one vector of each: what models join."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from services.attribution.domain.checkpoint import (
    Feature,
    FeatureKind,
    InputSpec,
    Schema,
)

CARDINALITY = 50
LENGTH = 5
DIMENSION = 8
F32, I64 = np.dtype(np.float32), np.dtype(np.int64)


@dataclass(frozen=True)
class Counts:
    """How many features of each kind a model has."""

    numeric: int = 3
    categorical: int = 3
    id_list: int = 2
    weighted: int = 1
    embedding: int = 1
    encoded: int = 1

    @property
    def total(self) -> int:
        return (
            self.numeric
            + self.categorical
            + self.id_list
            + self.weighted
            + self.embedding
            + self.encoded
        )


def make_schema(counts: Counts = Counts()) -> Schema:
    """Numeric and categorical features packed, the others with inputs of their own."""
    inputs: list[InputSpec] = []
    features: list[Feature] = []
    if counts.numeric:
        inputs.append(InputSpec("dense", F32, (counts.numeric,)))
    for j in range(counts.numeric):
        baseline = (0.0, -1.0, 0.5)[j % 3]
        features.append(Feature(f"n{j}", FeatureKind.NUMERIC, "dense", j, baseline=baseline))
    if counts.categorical:
        inputs.append(InputSpec("categories", I64, (counts.categorical,)))
    features += [
        Feature(f"c{j}", FeatureKind.CATEGORICAL, "categories", j, cardinality=CARDINALITY)
        for j in range(counts.categorical)
    ]
    for j in range(counts.id_list):
        inputs.append(InputSpec(f"l{j}", I64, (LENGTH,)))
        features.append(Feature(f"l{j}", FeatureKind.ID_LIST, f"l{j}", cardinality=CARDINALITY))
    for j in range(counts.weighted):
        inputs += [InputSpec(f"w{j}", I64, (LENGTH,)), InputSpec(f"w{j}_weights", F32, (LENGTH,))]
        kind = FeatureKind.WEIGHTED_ID_LIST
        features.append(
            Feature(f"w{j}", kind, f"w{j}", weights_input=f"w{j}_weights", cardinality=CARDINALITY)
        )
    for j in range(counts.embedding):
        inputs.append(InputSpec(f"e{j}", F32, (DIMENSION,)))
        features.append(Feature(f"e{j}", FeatureKind.EMBEDDING, f"e{j}"))
    for j in range(counts.encoded):
        inputs.append(InputSpec(f"x{j}", I64, (2,)))
        features.append(Feature(f"x{j}", FeatureKind.ENCODED_EMBEDDING, f"x{j}"))
    return Schema(tuple(inputs), tuple(features))


GROUPS = {"profile": ("n0", "n2", "c1"), "session": ("c0", "l0"), "media": ("w0", "x0")}
"""Of columns side by side and apart, of every kind; attention is within the second."""


class Vectors(nn.Module):
    """One vector of `width` for every feature that is not numeric, and the numeric ones as one."""

    def __init__(self, schema: Schema, width: int, *, shared: bool = False) -> None:
        super().__init__()
        self.schema = schema
        kinds = [f.kind for f in schema.columns]
        self.numeric = kinds.count(FeatureKind.NUMERIC)
        tabled = [f for f in schema.columns if f.kind.dtype == I64 and f.cardinality]
        table = nn.Embedding(CARDINALITY, width)
        self.tables = nn.ModuleDict(
            {f.name: table if shared else nn.Embedding(CARDINALITY, width) for f in tabled}
        )
        dense = [
            f
            for f in schema.columns
            if f.kind in (FeatureKind.EMBEDDING, FeatureKind.ENCODED_EMBEDDING)
        ]
        self.projections = nn.ModuleDict({f.name: nn.Linear(DIMENSION, width) for f in dense})

    @property
    def count(self) -> int:
        return len(self.schema.columns) - self.numeric

    def forward(self, *inputs: Tensor) -> tuple[Tensor | None, list[Tensor]]:
        """Return the numeric values [B, n], and the vectors [B, width] of the others."""
        by_name = dict(zip([s.name for s in self.schema.inputs], inputs, strict=True))
        vectors = [
            self._vector(f, by_name)
            for f in self.schema.columns
            if f.kind is not FeatureKind.NUMERIC
        ]
        return by_name.get("dense"), vectors

    def _vector(self, feature: Feature, inputs: Mapping[str, Tensor]) -> Tensor:
        values = inputs[feature.input]
        vector: Tensor
        match feature.kind:
            case FeatureKind.CATEGORICAL:
                assert feature.column is not None
                vector = self.tables[feature.name](values[:, feature.column])
            case FeatureKind.ID_LIST:
                used = (values != 0).unsqueeze(-1).to(torch.float32)
                total = (self.tables[feature.name](values) * used).sum(1)
                vector = total / used.sum(1).clamp(min=1)
            case FeatureKind.WEIGHTED_ID_LIST:
                assert feature.weights_input is not None
                weights = inputs[feature.weights_input].unsqueeze(-1)
                vector = (self.tables[feature.name](values) * weights).sum(1)
            case FeatureKind.EMBEDDING:
                vector = torch.relu(self.projections[feature.name](values))
            case _:
                projection = self.projections[feature.name]
                weight: Tensor = projection.weight  # type: ignore[assignment]
                decoded = values.view(torch.float16).to(weight.dtype)
                decoded = torch.nan_to_num(decoded, nan=0.0, posinf=0.0, neginf=0.0)
                vector = projection(decoded.clamp(-4, 4))
        return vector


class RawVectors(Vectors):
    """Vectors that take decoded words as they come, up to the longest that float16 has."""

    def _vector(self, feature: Feature, inputs: Mapping[str, Tensor]) -> Tensor:
        if feature.kind is not FeatureKind.ENCODED_EMBEDDING:
            return super()._vector(feature, inputs)
        projection = self.projections[feature.name]
        weight: Tensor = projection.weight  # type: ignore[assignment]
        decoded = inputs[feature.input].view(torch.float16).to(weight.dtype)
        longest = torch.finfo(torch.float16).max
        finite = torch.nan_to_num(decoded, nan=0.0, posinf=longest, neginf=-longest)
        vector: Tensor = projection(finite)
        return vector
