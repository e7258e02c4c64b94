"""A plain click model: fields, their pairwise products, and a multi-layer perceptron on top.

M. Naumov et al.: "Deep Learning Recommendation Model for Personalization and Recommendation
Systems", 2019. It is what a team would train first: nothing in it is there to make corruptions
visible, or harmless.
"""

import torch
from torch import Tensor, nn

from clients.drill.encoding import Encoder
from clients.drill.model import (
    FIELD,
    PackedTables,
    Pairs,
    PooledList,
    Project,
    Standardise,
    WeightedList,
    decode,
)
from clients.drill.schema import FeatureKind, Schema, inputs_of
from clients.drill.training import Absences
from clients.drill.world import World

MODEL = "plain_clicks"
HIDDEN = 64
BATCH = 256
LEARNING_RATE = 2e-3
ABSENT_SHARE = 0.02


class Decode(Project):
    """Words [B, W] of four float16 each to a field [B, FIELD]."""

    def forward(self, words: Tensor) -> Tensor:
        """words: int64 [B, W]; answers float32 [B, FIELD]."""
        projected: Tensor = self.linear(decode(words))
        return projected


FIELDS: dict[FeatureKind, type[nn.Module]] = {
    FeatureKind.ID_LIST: PooledList,
    FeatureKind.WEIGHTED_ID_LIST: WeightedList,
    FeatureKind.EMBEDDING: Project,
    FeatureKind.ENCODED_EMBEDDING: Decode,
}


class PlainModel(nn.Module):
    """Logits [B] of a batch; takes one positional tensor an input of the schema."""

    def __init__(self, schema: Schema, mean: Tensor, deviation: Tensor) -> None:
        """mean, deviation: float32 [C] of the numeric features over the training rows."""
        super().__init__()
        categories = schema.of_kind(FeatureKind.CATEGORICAL)
        fields = [f for f in schema.features if f.kind in FIELDS]
        count = 1 + len(categories) + len(fields)
        self.takes = [len(inputs_of(feature)) for feature in fields]
        self.standardise = Standardise(mean, deviation)
        self.bottom = nn.Sequential(
            nn.Linear(len(mean), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, FIELD)
        )
        self.categories = PackedTables([feature.cardinality or 1 for feature in categories])
        self.fields = nn.ModuleList(FIELDS[feature.kind](feature) for feature in fields)
        self.pairs = Pairs(count, HIDDEN)
        self.first = nn.Linear(count * FIELD, HIDDEN)
        self.top = nn.Sequential(
            nn.ReLU(), nn.Linear(HIDDEN, HIDDEN // 2), nn.ReLU(), nn.Linear(HIDDEN // 2, 1)
        )

    def forward(self, dense: Tensor, categories: Tensor, *own: Tensor) -> Tensor:
        """The inputs of the schema in order; answers float32 [B]."""
        numbers = self.standardise(dense)
        fields = [self.bottom(numbers).unsqueeze(1), self.categories(categories)]
        position = 0
        for field, takes in zip(self.fields, self.takes, strict=True):
            fields.append(field(*own[position : position + takes]).unsqueeze(1))
            position += takes
        stacked = torch.cat(fields, dim=1)
        logits: Tensor = self.top(self.pairs(stacked) + self.first(stacked.flatten(1))).squeeze(1)
        return logits


def train(world: World, seed: int) -> PlainModel:
    """Return the model after one epoch over the world's training rows; deterministic by seed."""
    inputs = Encoder(world.schema)(world.examples.slice(0, world.train_rows))
    labels = torch.from_numpy(world.labels[: world.train_rows]).float()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PlainModel(world.schema, inputs[0].mean(0), inputs[0].std(0).clamp(min=1e-3))
    absences = Absences(world.schema, Encoder(world.schema).baseline(1), ABSENT_SHARE, generator)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for rows in torch.split(torch.randperm(len(labels), generator=generator), BATCH):
        logits = model(*absences(tuple(tensor[rows] for tensor in inputs)))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval()
