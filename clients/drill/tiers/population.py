"""People, what a pipeline knows of them, and what the model of users makes of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
PROFILE = (
    "sessions_7d",
    "clicks_7d",
    "likes_30d",
    "purchases_30d",
    "dwell_minutes_7d",
    "follows",
    "days_active",
)
"""The seven features that one pipeline feeds, in the order of a profile's columns."""
WIDTH = 8
"""Of an embedding."""


class Fault(StrEnum):
    """What breaks."""

    PIPELINE = "pipeline"
    """`profile_features` counts in another unit: its seven features are off."""
    MODEL = "model"
    """`encode_users` runs an encoder that expects its inputs in another order."""


@dataclass(frozen=True)
class Population:
    """People by hour, from the settings alone.

    What an hour's batch jobs make of profiles is served in the hour after it.
    """

    start: datetime
    """Of hour 0."""
    break_hour: int
    fault: Fault | None
    people: int = 4000
    seed: int = 0

    def time(self, hour: int) -> datetime:
        """Return when an hour begins."""
        return self.start + timedelta(hours=hour)

    def profile(self, hour: int, *, healthy: bool = False) -> Floats:
        """Return the profiles, float32 [people, 7], as the pipeline has them in an hour."""
        noise = np.random.default_rng((self.seed, 1, hour + 1)).normal(0, 0.3, self._base.shape)
        profile = (self._base + noise).astype(np.float32)
        is_broken = self.fault is Fault.PIPELINE and hour >= self.break_hour
        return profile if healthy or not is_broken else 2.5 * profile + 1

    def embedding(self, hour: int, *, healthy: bool = False) -> Floats:
        """Return the embeddings, float32 [people, 8], that are served in an hour."""
        profile = self.profile(hour - 1, healthy=healthy)
        is_broken = self.fault is Fault.MODEL and hour > self.break_hour
        if is_broken and not healthy:
            profile = 2 * profile[:, ::-1] + 1
        embedding: Floats = np.tanh(profile @ self._encoder)
        return embedding

    def score(self, hour: int, *, healthy: bool = False) -> Floats:
        """Return the scores, float32 [people], that the model of users gave an hour before."""
        profile = self.profile(hour - 1, healthy=healthy)
        score: Floats = profile @ self.taste
        return score

    @cached_property
    def taste(self) -> Floats:
        """Weights of a profile in the score, float32 [7]."""
        rng = np.random.default_rng((self.seed, 2))
        return rng.uniform(0.15, 0.35, len(PROFILE)).astype(np.float32)

    @cached_property
    def _base(self) -> Floats:
        rng = np.random.default_rng((self.seed, 3))
        return rng.normal(0, 1, (self.people, len(PROFILE))).astype(np.float32)

    @cached_property
    def _encoder(self) -> Floats:
        rng = np.random.default_rng((self.seed, 4))
        return rng.normal(0.15, 0.3, (len(PROFILE), WIDTH)).astype(np.float32)
