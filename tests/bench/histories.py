"""Models with days of healthy windows behind them, as the aggregator's benchmark compares them.

Every window's values are drawn anew: 5,000 normal numbers a feature in their buckets, at the
baseline in every second example.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Block
from services.aggregator.domain.outcomes import OutcomeReport
from services.aggregator.domain.profile import SCALE, Profile
from services.aggregator.domain.quantiles import LEVELS, rounded
from services.aggregator.domain.shift import ShiftEvent
from services.aggregator.domain.sketch import Ragged
from services.aggregator.domain.summary import Summary
from tests.unit.services.aggregator.redis_store import RedisStore
from tests.unit.services.aggregator.worlds import HOUR, NOON, checkpoint, hour_of

WINDOWS = 74
"""Two that are compared, the newest, and so many before that 72 make the history of either."""
_NUMBERS = 5000


@dataclass(frozen=True)
class Healthy:
    """Windows of some features that differ by chance alone."""

    scales: NDArray[np.float64]
    """Importances, [M]."""

    async def hold(self, store: RedisStore, models: Sequence[str], made: Block) -> None:
        """Store the windows of the models, closed, with outcomes and told of."""
        features = len(self.scales)
        for model in models:
            await store.checkpoints.register(replace(checkpoint(features), model=model))
        for number, start in enumerate(NOON - n * HOUR for n in range(WINDOWS, 0, -1)):
            summary = self.summary(number)
            for model in models:
                await store.intake.append(
                    replace(made, model=model, event_time=start), hour_of(start)
                )
                window = await store.windows.window(model, start)
                assert await store.keeper("bench").close(window, summary)
                # Told first, so that the process which is measured does not judge it.
                assert await store.shifts.publish(ShiftEvent(window, None, start))
                outcomes = OutcomeReport(model, "r", window.interval, 1000.0, 1000)
                await store.intake.report(outcomes, window.interval)

    def summary(self, seed: int) -> Summary:
        """Return what is kept of one window."""
        rng, count = np.random.default_rng(seed), len(self.scales)
        lfis = np.sort(rng.normal(0.0, self.scales[:, np.newaxis], (count, len(LEVELS))), axis=1)
        return Summary(
            considered_count=_NUMBERS,
            displayed_count=_NUMBERS,
            gfi=np.abs(rng.normal(self.scales, 0.01 * self.scales)),
            coverage=rng.normal(0.5, 0.005, count),
            standard_error=0.01 * self.scales,
            quantiles=rounded(lfis.astype(np.float32)),
            profile=self._profile(rng),
        )

    def _profile(self, rng: np.random.Generator) -> Profile:
        count, (buckets, chances) = len(self.scales), self._buckets
        shares = np.rint(rng.multinomial(_NUMBERS, chances, size=count) * (SCALE / _NUMBERS))
        occurs = shares > 0
        no_ids = Ragged(np.zeros(1, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32))
        return Profile(
            example_count=2 * _NUMBERS,
            baseline_rate=rng.normal(0.5, 0.005, count).astype(np.float32),
            buckets=Ragged(
                np.cumsum([0, *occurs.sum(axis=1)]).astype(np.uint32),
                np.broadcast_to(buckets, occurs.shape)[occurs],
                shares[occurs].astype(np.uint32),
            ),
            hitters=no_ids,
            correlations=rng.normal(0.0, 0.05, count).astype(np.float32),
        )

    @cached_property
    def _buckets(self) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
        """Return the buckets of normal numbers, and how often each occurs."""
        numbers = np.random.default_rng(0).normal(0, 3, 1_000_000).astype(np.float32)
        magnitudes = (np.abs(numbers).view(np.uint32) >> 20).astype(np.int16)
        found, counts = np.unique(
            np.where(numbers < 0, -magnitudes, magnitudes), return_counts=True
        )
        return found, counts / counts.sum()
