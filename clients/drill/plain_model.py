"""A click model that nobody tuned: M. Naumov et al.'s (2019) with a plain network on top.

Numbers meet in a bottom network and become one field, each other feature is a field; the dot
products of all pairs and the fields themselves go through one hidden layer. `normalised` puts a
layer normalisation before the interaction, which makes the model robust against vectors that come
far too long.
"""

import torch
from torch import Tensor, nn

from clients.drill.model import (
    FIELD,
    PackedTables,
    Pairs,
    PooledList,
    Project,
    Standardise,
    WeightedList,
)
from clients.drill.schema import FeatureKind, Schema, inputs_of

LARGEST_HALF = 65504.0


class Decode(Project):
    """Words [B, W] of four float16 each to a field [B, FIELD]; NaN counts as 0."""

    def forward(self, words: Tensor) -> Tensor:
        """words: int64 [B, W]; answers float32 [B, FIELD]."""
        shifts = torch.arange(0, 64, 16, device=words.device)
        bits = (words.unsqueeze(-1) >> shifts).to(torch.int16)
        vectors = bits.view(torch.float16).flatten(1).float()
        finite = vectors.nan_to_num(nan=0.0, posinf=LARGEST_HALF, neginf=-LARGEST_HALF)
        projected: Tensor = self.linear(finite)
        return projected


class PlainClickModel(nn.Module):
    """Logits [B] of a batch; takes one positional tensor an input of the schema."""

    def __init__(
        self,
        schema: Schema,
        mean: Tensor,
        deviation: Tensor,
        hidden: int = 32,
        normalised: bool = False,
    ) -> None:
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
        self.norm = nn.LayerNorm(FIELD) if normalised else nn.Identity()
        self.from_pairs = Pairs(count, hidden)
        self.from_fields = nn.Linear(count * FIELD + len(mean), hidden)
        self.top = nn.Linear(hidden, 1)

    def forward(self, dense: Tensor, categories: Tensor, *own: Tensor) -> Tensor:
        """The inputs of the schema in order; answers float32 [B]."""
        numbers = self.standardise(dense)
        fields = [self.bottom(numbers).unsqueeze(1), self.categories(categories)]
        position = 0
        for field, takes in zip(self.fields, self.takes, strict=True):
            fields.append(field(*own[position : position + takes]).unsqueeze(1))
            position += takes
        stacked = self.norm(torch.cat(fields, dim=1))
        flat = torch.cat([stacked.flatten(1), numbers], dim=1)
        hidden = torch.relu(self.from_pairs(stacked) + self.from_fields(flat))
        logits: Tensor = self.top(hidden).squeeze(1)
        return logits


_FIELDS: dict[FeatureKind, type[nn.Module]] = {
    FeatureKind.ID_LIST: PooledList,
    FeatureKind.WEIGHTED_ID_LIST: WeightedList,
    FeatureKind.EMBEDDING: Project,
    FeatureKind.ENCODED_EMBEDDING: Decode,
}
