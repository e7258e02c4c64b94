"""People and ads as vectors, who is awake when, and what makes them click."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
"""Hour 0: a Monday."""
HOURS_A_DAY = 24
DAYS_A_WEEK = 7


@dataclass(frozen=True)
class AdsSettings:
    """How large the world is; equal settings make equal worlds."""

    features: int = 200
    users: int = 3000
    ads: int = 600
    requests: int = 300
    """An hour, on average over the day."""
    candidates: int = 8
    """Ads considered for a request."""
    displayed: int = 2
    """Of them, shown."""
    latent: int = 6
    """Length of the vectors that people and ads are made of."""
    seasonality: float = 1.0
    """How strongly hours differ; 0: not at all."""
    seed: int = 0


@dataclass(frozen=True)
class Population:
    """Vectors are standard normal, float64 [users, L] and [ads, L]."""

    settings: AdsSettings

    @cached_property
    def users(self) -> Floats:
        """One vector a person."""
        return self._rng(1).standard_normal((self.settings.users, self.settings.latent))

    @cached_property
    def ads(self) -> Floats:
        """One vector an ad."""
        return self._rng(2).standard_normal((self.settings.ads, self.settings.latent))

    @cached_property
    def popularity(self) -> Floats:
        """What an ad's logit gains whoever looks at it, float64 [ads]."""
        return self._rng(3).normal(0.0, 0.6, self.settings.ads)

    @cached_property
    def favourite_hour(self) -> Floats:
        """When a person is most awake, in hours of the day; alike people wake alike."""
        angle = np.arctan2(self.users[:, 0], self.users[:, 1])
        return np.asarray((angle / (2 * np.pi) * HOURS_A_DAY) % HOURS_A_DAY)

    def volume(self, hour: int) -> int:
        """Requests in an hour: more in the evening, fewer on weekends."""
        wave = 0.5 * np.cos(2 * np.pi * (hour % HOURS_A_DAY - 20) / HOURS_A_DAY)
        weekend = -0.2 if is_weekend(hour) else 0.0
        change = 1.0 + self.settings.seasonality * (wave + weekend)
        return int(max(1, round(self.settings.requests * change)))

    def awake(self, hour: int) -> Floats:
        """The probability that a request is a person's, float64 [users]."""
        distance = 2 * np.pi * (hour % HOURS_A_DAY - self.favourite_hour) / HOURS_A_DAY
        weight = np.exp(1.5 * self.settings.seasonality * np.cos(distance))
        return np.asarray(weight / weight.sum())

    def click_logits(self, users: Ints, ads: Ints, hour: int) -> Floats:
        """The true logit of a click, float64 [N]."""
        fit = (self.users[users] * self.ads[ads]).sum(axis=1) / self.settings.latent**0.5
        evening = 0.3 * np.cos(2 * np.pi * (hour % HOURS_A_DAY - 21) / HOURS_A_DAY)
        mood = self.settings.seasonality * (evening + (0.15 if is_weekend(hour) else 0.0))
        return np.asarray(-2.0 + 0.9 * fit + self.popularity[ads] + mood)

    def _rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.settings.seed, purpose))


def is_weekend(hour: int) -> bool:
    """Whether an hour lies in a Saturday or Sunday."""
    return hour // HOURS_A_DAY % DAYS_A_WEEK >= 5


def time_of(hour: int) -> datetime:
    """When an hour of the world begins."""
    return EPOCH + timedelta(hours=hour)
