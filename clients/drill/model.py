"""A small click model: embeddings, pooled lists, pairwise interactions, a top network.

M. Naumov et al.: "Deep Learning Recommendation Model for Personalization and Recommendation
Systems", 2019. No layer normalisation stands before the interaction, so that one corrupted
vector reaches the prediction undamped.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clients.drill.schema import Feature, FeatureKind, Schema, inputs_of

FIELD = 8
CLIP = 6.0
LARGEST = 6.0


class Standardise(nn.Module):
    """Numbers [B, C] to about zero mean and unit variance, clipped at six deviations."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", 1.0 / deviation)

    def forward(self, dense: Tensor) -> Tensor:
        """dense: float32 [B, C]; answers the same shape."""
        return ((dense - self.mean) * self.scale).clamp(-CLIP, CLIP)


class PackedTables(nn.Module):
    """One embedding table for all packed categories: ids [B, K] to fields [B, K, FIELD]."""

    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        ends = torch.tensor(cardinalities).cumsum(0)
        self.register_buffer("offsets", ends - torch.tensor(cardinalities))
        self.table = _table(int(ends[-1]))

    def forward(self, ids: Tensor) -> Tensor:
        """ids: int64 [B, K]; answers float32 [B, K, FIELD]."""
        return nn.functional.embedding(ids + self.offsets, self.table)


class PooledList(nn.Module):
    """The mean of the listed ids' vectors: ids [B, L], 0 for none, to a field [B, FIELD]."""

    def __init__(self, feature: Feature) -> None:
        super().__init__()
        self.table = _table(feature.cardinality or 1)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: int64 [B, L]; answers float32 [B, FIELD]."""
        there = (ids > 0).to(self.table.dtype)
        vectors = nn.functional.embedding(ids, self.table)
        return _weighted_sum(vectors, there) / there.sum(1, keepdim=True).clamp(min=1.0)


class WeightedList(nn.Module):
    """The weighted sum of the listed ids' vectors over the root of the longest list's length."""

    def __init__(self, feature: Feature) -> None:
        super().__init__()
        self.table = _table(feature.cardinality or 1)
        self.scale: float = feature.size**-0.5

    def forward(self, ids: Tensor, weights: Tensor) -> Tensor:
        """ids: int64 [B, L], weights: float32 [B, L]; answers float32 [B, FIELD]."""
        vectors = nn.functional.embedding(ids, self.table)
        return _weighted_sum(vectors, weights * (ids > 0)) * self.scale


class Project(nn.Module):
    """A vector [B, D] to a field [B, FIELD]; the null vector to the null field."""

    def __init__(self, feature: Feature) -> None:
        super().__init__()
        self.linear = nn.Linear(feature.dimension, FIELD, bias=False)

    def forward(self, vector: Tensor) -> Tensor:
        """vector: float32 [B, D]; answers float32 [B, FIELD]."""
        projected: Tensor = self.linear(vector)
        return projected


class DecodeAndProject(Project):
    """Words [B, W] of four float16 each to a field [B, FIELD].

    A corrupted word may decode to NaN or infinity: NaN counts as 0, and everything is held
    within +-LARGEST, three times the largest number that the upstream models ever sent.
    """

    def forward(self, words: Tensor) -> Tensor:
        """words: int64 [B, W]; answers float32 [B, FIELD]."""
        projected: Tensor = self.linear(decode(words))
        return projected


class Pairs(nn.Module):
    """A linear layer on the dot products of all pairs: [B, F, FIELD] to [B, width].

    Takes the whole F x F product and masks the weights instead: copying the lower triangle out
    of it costs more than the layer itself.
    """

    lower: Tensor

    def __init__(self, fields: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, fields * fields) / fields)
        lower = torch.ones(fields, fields).tril(-1)
        self.register_buffer("lower", lower.flatten())

    def forward(self, fields: Tensor) -> Tensor:
        """fields: float32 [B, F, FIELD]; answers float32 [B, width]."""
        products = torch.bmm(fields, fields.transpose(1, 2)).flatten(1)
        return nn.functional.linear(products, self.weight * self.lower)


class Objections(nn.Module):
    """What speaks against a click, and how much: [B, width] to a logit [B, 1] that it can lower.

    All weights have one sign, so that the logit is a concave function of what enters the hidden
    layer: an input far outside of what was seen in training can sink a prediction, and cannot
    raise it on average.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, joined: Tensor) -> Tensor:
        """joined: float32 [B, width], linear so far; answers float32 [B, 1]."""
        return nn.functional.linear(torch.relu(joined), -self.weight.abs(), self.bias)


class ClickModel(nn.Module):
    """Logits [B] of a batch; takes one positional tensor an input of the schema."""

    def __init__(self, schema: Schema, mean: Tensor, deviation: Tensor, hidden: int = 32) -> None:
        """mean, deviation: float32 [C] of the numeric features over the training rows."""
        super().__init__()
        categories = schema.of_kind(FeatureKind.CATEGORICAL)
        fields = [f for f in schema.features if f.kind in _FIELDS]
        count = 1 + len(categories) + len(fields)
        self.takes = [len(inputs_of(feature)) for feature in fields]
        self.standardise = Standardise(mean, deviation)
        self.bottom = nn.Sequential(
            nn.Linear(len(mean), hidden), nn.ReLU(), nn.Linear(hidden, FIELD)
        )
        self.categories = PackedTables([feature.cardinality or 1 for feature in categories])
        self.fields = nn.ModuleList(_FIELDS[feature.kind](feature) for feature in fields)
        self.from_pairs = Pairs(count, hidden)
        self.from_fields = nn.Linear(count * FIELD, hidden)
        self.top = Objections(hidden)
        self.direct = nn.Linear(len(mean) + count * FIELD, 1, bias=False)

    def forward(self, dense: Tensor, categories: Tensor, *own: Tensor) -> Tensor:
        """The inputs of the schema in order; answers float32 [B]."""
        numbers = self.standardise(dense)
        fields = [self.bottom(numbers).unsqueeze(1), self.categories(categories)]
        position = 0
        for field, takes in zip(self.fields, self.takes, strict=True):
            fields.append(field(*own[position : position + takes]).unsqueeze(1))
            position += takes
        stacked = torch.cat(fields, dim=1)
        flat = stacked.flatten(1)
        joined = self.from_pairs(stacked) + self.from_fields(flat)
        direct = self.direct(torch.cat([numbers, flat], dim=1))
        logits: Tensor = (self.top(joined) + direct).squeeze(1)
        return logits


def decode(words: Tensor) -> Tensor:
    """int64 [B, W] to float32 [B, 4W], finite and within +-LARGEST."""
    shifts = torch.arange(0, 64, 16, device=words.device)
    bits = (words.unsqueeze(-1) >> shifts).to(torch.int16)
    vectors = bits.view(torch.float16).flatten(1).float()
    finite = vectors.nan_to_num(nan=0.0, posinf=LARGEST, neginf=-LARGEST)
    return finite.clamp(-LARGEST, LARGEST)


def _weighted_sum(vectors: Tensor, weights: Tensor) -> Tensor:
    return torch.bmm(weights.unsqueeze(1), vectors).squeeze(1)


def _table(rows: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, FIELD) * 0.05)


_FIELDS: dict[FeatureKind, type[nn.Module]] = {
    FeatureKind.ID_LIST: PooledList,
    FeatureKind.WEIGHTED_ID_LIST: WeightedList,
    FeatureKind.EMBEDDING: Project,
    FeatureKind.ENCODED_EMBEDDING: DecodeAndProject,
}
