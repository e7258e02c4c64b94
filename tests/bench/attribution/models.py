"""The benchmark's click models, written as one would for production: tables fused into one."""

import torch
from torch import Tensor, nn

from services.attribution.domain.checkpoint import FeatureKind, Schema
from tests.unit.services.attribution.engine.architectures import Dlrm, Model, NormDcn, Transformer
from tests.unit.services.attribution.engine.vectors import (
    CARDINALITY,
    DIMENSION,
    Counts,
    make_schema,
)


class FusedVectors(nn.Module):
    """One embedding table, one lookup for all ids of a kind, one product for all projections."""

    offsets: Tensor

    def __init__(self, schema: Schema, width: int) -> None:
        super().__init__()
        self.schema = schema
        kinds = [f.kind for f in schema.columns]
        self.numeric = kinds.count(FeatureKind.NUMERIC)
        self.categorical = kinds.count(FeatureKind.CATEGORICAL)
        self.lists = kinds.count(FeatureKind.ID_LIST)
        self.weighted = kinds.count(FeatureKind.WEIGHTED_ID_LIST)
        self.dense = kinds.count(FeatureKind.EMBEDDING)
        self.encoded = kinds.count(FeatureKind.ENCODED_EMBEDDING)
        tables = self.categorical + self.lists + self.weighted
        self.table = nn.Embedding(tables * CARDINALITY, width)
        self.register_buffer("offsets", torch.arange(tables) * CARDINALITY)
        self.maps = nn.Parameter(torch.randn(self.dense + self.encoded, DIMENSION, width) / 3)

    @property
    def count(self) -> int:
        return len(self.schema.features) - self.numeric

    def forward(self, *inputs: Tensor) -> tuple[Tensor | None, list[Tensor]]:
        """Return the numeric values [B, n] and, in one tensor [B, features, width], the vectors."""
        by_name = dict(zip([s.name for s in self.schema.inputs], inputs, strict=True))
        split = [self.categorical, self.lists, self.weighted]
        categories, lists, weighted = torch.split(self.offsets, split)
        single = self.table(by_name["categories"] + categories)
        ids = torch.stack([by_name[f"l{j}"] for j in range(self.lists)], dim=1)
        used = (ids != 0).unsqueeze(-1).to(torch.float32)
        pooled = (self.table(ids + lists.unsqueeze(1)) * used).sum(2)
        pooled = pooled / used.sum(2).clamp(min=1)
        ids = torch.stack([by_name[f"w{j}"] for j in range(self.weighted)], dim=1)
        weights = torch.stack([by_name[f"w{j}_weights"] for j in range(self.weighted)], dim=1)
        summed = (self.table(ids + weighted.unsqueeze(1)) * weights.unsqueeze(-1)).sum(2)
        given = torch.stack([by_name[f"e{j}"] for j in range(self.dense)], dim=1)
        words = torch.stack([by_name[f"x{j}"] for j in range(self.encoded)], dim=1)
        decoded = words.view(torch.float16).to(self.maps.dtype)
        decoded = torch.nan_to_num(decoded, nan=0.0, posinf=0.0, neginf=0.0).clamp(-4, 4)
        embedded = torch.cat([given, decoded], dim=1).unsqueeze(2)
        projected = (embedded.transpose(2, 3) * self.maps).sum(2)
        vectors = torch.cat([single, pooled, summed, projected], dim=1)
        return by_name.get("dense"), [vectors]


class Wide(Model):
    """A thousand features side by side into an MLP."""

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema, 13, (512, 256))

    def build(self) -> None:
        self.vectors = FusedVectors(self.vectors.schema, self.width)  # type: ignore[assignment]
        super().build()

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        dense, (vectors,) = self.vectors(*inputs)
        assert dense is not None
        return torch.cat([dense, vectors.flatten(1)], dim=1)


class BigDlrm(Dlrm):
    """Pairwise dots of some 240 vectors, over a bottom MLP for the numeric features."""

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema, 32, (512, 256))

    def build(self) -> None:
        self.vectors = FusedVectors(self.vectors.schema, self.width)  # type: ignore[assignment]
        super().build()

    def forward(self, *inputs: Tensor) -> Tensor:
        dense, (vectors,) = self.vectors(*inputs)
        bottom = self.bottom(dense)
        stacked = torch.cat([bottom.unsqueeze(1), vectors], dim=1)
        dots = torch.bmm(stacked, stacked.transpose(1, 2))
        count = stacked.shape[1]
        first, second = torch.triu_indices(count, count, offset=1)
        top: Tensor = self.top(torch.cat([bottom, dots[:, first, second]], dim=1))
        return top.squeeze(-1)


class WideNormDcn(NormDcn):
    """LayerNorm, then low-rank cross layers and an MLP side by side, over a thousand features."""

    rank = 64

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema, 13, (512, 256))

    def build(self) -> None:
        self.vectors = FusedVectors(self.vectors.schema, self.width)  # type: ignore[assignment]
        super().build()

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        dense, (vectors,) = self.vectors(*inputs)
        assert dense is not None
        normed: Tensor = self.norm(torch.cat([dense, vectors.flatten(1)], dim=1))
        return normed


class Generic(Transformer):
    """Self-attention over the features' vectors: nothing that a join recognises."""

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema, 16, (128, 64))

    def build(self) -> None:
        self.vectors = FusedVectors(self.vectors.schema, self.width)  # type: ignore[assignment]
        super().build()

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        dense, (vectors,) = self.vectors(*inputs)
        assert dense is not None
        return torch.cat([self.encoder(vectors).flatten(1), dense], dim=1)


THOUSAND = make_schema(Counts(300, 400, 150, 50, 50, 50))

MODELS = {
    "wide": (Wide, THOUSAND),
    "dlrm": (BigDlrm, make_schema(Counts(60, 160, 40, 20, 10, 10))),
    "ln_dcn": (WideNormDcn, THOUSAND),
    "generic": (Generic, make_schema(Counts(20, 40, 20, 10, 5, 5))),
}
