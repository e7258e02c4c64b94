"""The models of both tiers: the world's own law, so that each is calibrated from the start."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from clients.drill.export import Release, export_checkpoint
from clients.drill.schema import Feature, FeatureKind, Schema
from clients.drill.tiers.population import PROFILE, WIDTH, Floats, Population

USER_TOWER = "user_tower"
FED = "user_embedding"
"""What the model of users hands to others, beside `user_score`."""
INTERESTS = tuple(f"interest_{number:02}" for number in range(24))
COUNTRIES = 12
_BIAS = -0.7


@dataclass(frozen=True)
class Tier:
    """One model, and what it knows besides what the other tier gives it."""

    name: str
    own: tuple[str, ...]
    """Its own numbers."""
    vector: str
    """The embedding that it takes."""
    pull: float
    """How strongly that acts on it."""
    weights: tuple[float, float] = (0.2, 0.5)
    """Of its own numbers: the least and the most."""

    @property
    def is_downstream(self) -> bool:
        """Whether the model of users feeds it."""
        return self.vector == FED

    @cached_property
    def schema(self) -> Schema:
        """Its features, in the order of the logged columns."""
        given = PROFILE if self.name == USER_TOWER else ()
        scored = ("user_score",) if self.is_downstream else ()
        names = (*given, *self.own, *scored)
        numbers = tuple(Feature(name, FeatureKind.NUMERIC) for name in names)
        country = Feature("country", FeatureKind.CATEGORICAL, cardinality=COUNTRIES)
        vector = Feature(self.vector, FeatureKind.EMBEDDING, size=WIDTH)
        return Schema((*numbers, country, vector))

    def export(self, population: Population, trained_until: datetime, folder: Path) -> Path:
        """Write the model as a checkpoint."""
        release = Release(self.name, "1", trained_until)
        return export_checkpoint(self._model(population), self.schema, release, folder)

    def examples(self, population: Population, hour: int, rows: int, *, healthy: bool) -> pa.Table:
        """Return what is logged in an hour; `healthy`: what would be if nothing were broken."""
        rng = np.random.default_rng((population.seed, 5, hour, len(self.name), ord(self.name[0])))
        people = rng.integers(population.people, size=rows)
        own = rng.normal(0, 1, (rows, len(self.own))).astype(np.float32)
        columns: dict[str, pa.Array] = {}
        if self.name == USER_TOWER:
            profile = population.profile(hour, healthy=healthy)[people]
            columns |= {name: pa.array(profile[:, n]) for n, name in enumerate(PROFILE)}
        columns |= {name: pa.array(own[:, n]) for n, name in enumerate(self.own)}
        if self.is_downstream:
            columns["user_score"] = pa.array(population.score(hour, healthy=healthy)[people])
        columns["country"] = pa.array(rng.integers(1, COUNTRIES, rows))
        vectors = np.tanh(rng.normal(0, 1, (rows, WIDTH))).astype(np.float32)
        if self.is_downstream:
            vectors = population.embedding(hour, healthy=healthy)[people]
        flat = pa.array(vectors.ravel())
        columns[self.vector] = pa.FixedSizeListArray.from_arrays(flat, WIDTH)
        return pa.table(columns)

    def _model(self, population: Population) -> nn.Module:
        rng = np.random.default_rng((population.seed, 6, len(self.name), ord(self.name[0])))
        countries = rng.normal(0, 0.2, COUNTRIES)
        given = population.taste if self.name == USER_TOWER else ()
        scored = (0.15,) if self.is_downstream else ()
        weights = (*given, *rng.uniform(*self.weights, len(self.own)), *scored)
        return LinearClicks(
            np.asarray(weights, np.float32),
            countries.astype(np.float32),
            np.full(WIDTH, self.pull, np.float32),
        )


class LinearClicks(nn.Module):
    """Logits [B]: a weighted sum of all that is known."""

    def __init__(self, numbers: Floats, countries: Floats, vector: Floats) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.from_numpy(numbers))
        self.countries = nn.Embedding(len(countries), 1)
        with torch.no_grad():
            self.countries.weight.copy_(torch.from_numpy(countries).unsqueeze(1))
        self.vector = nn.Parameter(torch.from_numpy(vector))

    def forward(self, dense: Tensor, categories: Tensor, *own: Tensor) -> Tensor:
        """The inputs of the schema in order; answers float32 [B]."""
        countries = self.countries(categories[:, 0]).squeeze(1)
        logits: Tensor = _BIAS + dense @ self.numbers + countries + own[0] @ self.vector
        return logits


TIERS = (
    Tier(USER_TOWER, INTERESTS, "bio_embedding", 0.2, (0.05, 0.15)),
    Tier("ads_ctr", ("ad_quality", "bid", "ad_age"), FED, 0.45),
    Tier("feed_rank", ("post_age", "post_likes", "author_rank"), FED, 0.35),
    Tier("video_ctr", ("video_length", "video_age", "watch_rate"), FED, 0.25),
    Tier("search_ctr", ("query_match", "page_rank", "freshness"), "query_embedding", 0.3),
)
"""The model of users first; the last one takes nothing of it."""


def downstream() -> Iterator[Tier]:
    """Yield the models that the model of users feeds."""
    return (tier for tier in TIERS if tier.is_downstream)
