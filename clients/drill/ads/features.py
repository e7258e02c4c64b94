"""What a pipeline would log of a request: features of all six kinds, from telling to useless.

Each feature looks at people, at ads, at both or at how they match, and mixes what it sees with
noise of its own. How much it tells falls with its place, as in real models: a few matter and most
do little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clients.drill.ads.population import HOURS_A_DAY, AdsSettings, Floats, Ints, Population
from clients.drill.columns import (
    Column,
    categorical,
    embedding,
    encoded_embedding,
    id_list,
    numeric,
    weighted_id_list,
)
from clients.drill.schema import FeatureKind

SHARES = {
    FeatureKind.NUMERIC: 0.5,
    FeatureKind.CATEGORICAL: 0.25,
    FeatureKind.ID_LIST: 0.08,
    FeatureKind.WEIGHTED_ID_LIST: 0.05,
    FeatureKind.EMBEDDING: 0.07,
    FeatureKind.ENCODED_EMBEDDING: 0.05,
}
DIMENSION = 8
LONGEST = 5
CARDINALITY = 60
SEASONAL_SHARE = 0.3


@dataclass(frozen=True)
class Request:
    """Rows of considered ads: int64 [N] each; `rng` draws what is noise in this hour."""

    users: Ints
    ads: Ints
    hour: int
    rng: np.random.Generator


class Source:
    """One feature: tables of its values by person and by ad, made once."""

    def __init__(
        self, kind: FeatureKind, place: int, population: Population, telling: float
    ) -> None:
        settings = population.settings
        rng = np.random.default_rng((settings.seed, 4, place))
        self.name = f"{kind.value.lower()}_{place}"
        self.kind = kind
        self._cardinality = int(rng.integers(8, CARDINALITY))
        self._looks_at = int(rng.integers(4))
        self._coverage = float(rng.choice([1.0, rng.uniform(0.3, 1.0)]))
        seasonal = rng.random() < SEASONAL_SHARE
        self._wave = settings.seasonality * rng.uniform(0.5, 1.5) if seasonal else 0.0
        self._phase = rng.uniform(0, HOURS_A_DAY)
        width = DIMENSION if kind in _WIDE else 1
        directions = rng.standard_normal((settings.latent, width)) / settings.latent**0.5
        liking = population.popularity[:, None] * rng.choice([0.0, 1.5], width)
        self._by_user = _mixed(population.users @ directions, telling, rng)
        self._by_ad = _mixed(population.ads @ directions + liking, telling, rng)
        self._user_has = rng.random(settings.users) < self._coverage
        self._ad_has = rng.random(settings.ads) < self._coverage

    @property
    def is_seasonal(self) -> bool:
        """Whether its values rise and fall with the hour of the day."""
        return self._wave != 0

    def column(self, request: Request) -> Column:
        """The logged values of a request's rows."""
        values, known = self._values(request)
        match self.kind:
            case FeatureKind.NUMERIC:
                return numeric(self.name, values[:, 0].astype(np.float32), 0.0, known)
            case FeatureKind.CATEGORICAL:
                ids = np.where(known, self._bucket(values[:, 0]), 0)
                return categorical(self.name, ids, self._cardinality)
            case FeatureKind.ID_LIST:
                return id_list(self.name, self._ids(values, known), self._cardinality, known)
            case FeatureKind.WEIGHTED_ID_LIST:
                ids = self._ids(values, known)
                weights = np.abs(values[:, :LONGEST])
                return weighted_id_list(self.name, ids, weights, self._cardinality, known)
            case FeatureKind.EMBEDDING:
                return embedding(self.name, values, known)
            case FeatureKind.ENCODED_EMBEDDING:
                return encoded_embedding(self.name, values, known)

    def _values(
        self, request: Request
    ) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """float64 [N, width], and bool [N]: where there is a value."""
        user, ad = self._by_user[request.users], self._by_ad[request.ads]
        seen = (user, ad, (user + ad) / 2**0.5, user * ad)[self._looks_at]
        angle = 2 * np.pi * (request.hour % HOURS_A_DAY - self._phase) / HOURS_A_DAY
        jitter = request.rng.normal(0.0, 0.1, seen.shape)
        has = self._ad_has[request.ads] if self._looks_at == 1 else self._user_has[request.users]
        return seen + self._wave * np.cos(angle) + jitter, has

    def _bucket(self, values: Floats) -> Ints:
        """1 to cardinality - 1, by where a standard normal number would fall."""
        ranked = 1.0 / (1.0 + np.exp(-1.7 * values))
        # Far out, a number's place rounds to one: the last id, not the one after it.
        places = (ranked * (self._cardinality - 1)).astype(np.int64)
        return 1 + np.minimum(places, self._cardinality - 2)

    def _ids(self, values: Floats, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Ints:
        """int64 [N, LONGEST], 0 for none; the lists of some are shorter."""
        ids = self._bucket(values[:, :LONGEST])
        lengths = 1 + (np.abs(values[:, LONGEST]) * 2.5).astype(np.int64)
        lengths[~known] = 0
        ids[np.arange(LONGEST) >= lengths[:, None]] = 0
        return ids


_WIDE = (
    FeatureKind.ID_LIST,
    FeatureKind.WEIGHTED_ID_LIST,
    FeatureKind.EMBEDDING,
    FeatureKind.ENCODED_EMBEDDING,
)


@dataclass(frozen=True)
class Pipeline:
    """All features of the world."""

    population: Population

    @cached_property
    def sources(self) -> Sequence[Source]:
        """The features in the order of the logged columns."""
        settings = self.population.settings
        kinds = _kinds(settings.features)
        rng = np.random.default_rng((settings.seed, 5))
        telling = 1.0 / (1.0 + rng.permutation(len(kinds)) / 4.0)
        return [
            Source(kind, place, self.population, float(telling[place]))
            for place, kind in enumerate(kinds)
        ]

    def columns(self, request: Request) -> list[Column]:
        """What is logged of a request's rows."""
        return [source.column(request) for source in self.sources]


def _kinds(count: int) -> list[FeatureKind]:
    """How often each kind comes, at least once."""
    if count < len(SHARES):
        raise ValueError(f"{count} features: there are {len(SHARES)} kinds, ask for as many")
    counts = {kind: max(1, int(share * count)) for kind, share in SHARES.items()}
    counts[FeatureKind.NUMERIC] += count - sum(counts.values())
    return [kind for kind in SHARES for _ in range(counts[kind])]


def _mixed(seen: Floats, telling: float, rng: np.random.Generator) -> Floats:
    """What is seen of each, float64 [K, width], with noise in its place where it tells little."""
    noise = rng.standard_normal(seen.shape)
    return np.asarray(telling**0.5 * seen + (1 - telling) ** 0.5 * noise)


def small_settings(features: int = 24, seed: int = 0) -> AdsSettings:
    """A world that is made in a second."""
    return AdsSettings(features=features, users=300, ads=80, requests=60, seed=seed)
