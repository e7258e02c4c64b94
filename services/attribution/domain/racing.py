r"""Which K features have the largest GFI, without ablating every feature of every example.

Successive elimination: from look to look, the examples so far bound each feature's GFI from below
and above; a feature that at least K others surely exceed is out, and no longer ablated. Once no
more than K are left, the race is settled. Nothing is assumed about how LFIs are distributed, only
that the order of the examples has nothing to do with them.

With n examples so far, k of which have a non-zero LFI for a feature, and t = log(1 / a), each of
these one-sided bounds fails with a probability of at most a (Chernoff; by Hoeffding 1963, section
6, for draws without replacement too, so that they bound the GFI over all examples of the stream):

    coverage   the p on that side of k / n with n KL(k / n, p) = t
    median     the r-th smallest of the k magnitudes: r = ceil(q k) from above and k + 1 - r from
               below, with q > 1/2 and k KL(q, 1/2) = t; none if k log 2 < t

Their products bound the GFI (equation 4). The K features sought must not be bounded too low from
above, nor the others too high from below: one side each, of two factors, for M features. Look
l = 1, 2, ... spends (1 - confidence) / (l (l + 1)) of the risk, so that all looks together spend
1 - confidence: a = (1 - confidence) / (2 M l (l + 1)). A look is taken whenever the number of
examples has grown by a quarter. Magnitudes are counted in bins that are 1/64 wide at most, and a
bound is a bin's outer edge: memory does not grow with the stream.

>>> race = Race(Racing(top_k=1, confidence=0.95), feature_count=3)
>>> values = np.repeat(np.array([1.0, 0.1, 0.01], dtype=np.float32), 400)
>>> offsets = np.array([0, 400, 800, 1200], dtype=np.uint32)
>>> race.count(400, offsets, values, present=np.array([400, 400, 400]))
>>> race.is_settled, [outcome.name for outcome in race.standing().outcomes]
(True, ['TOP', 'OUT', 'OUT'])
>>> race.standing().upper.round(3).tolist()
[1.016, 0.101, 0.01]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.bounds import coverage_bounds, median_ranks
from services.attribution.domain.magnitudes import Magnitudes

_GROWTH = 1.25


class Outcome(Enum):
    """How a feature stands."""

    OPEN = "OPEN"
    TOP = "TOP"
    """The race is settled, and it is one of the K."""
    OUT = "OUT"
    """At least K others have a larger GFI."""
    TOO_RARE = "TOO_RARE"
    """Its coverage is below the least that the race is about."""


@dataclass(frozen=True)
class Racing:
    """What is raced for: the K largest of the features that are covered often enough."""

    top_k: int
    confidence: float
    """Least probability that the outcomes are those of all examples, in (0, 1)."""
    least_coverage: float = 0.0
    """Features below it are left out. With 0, one that is hardly seen keeps the race open."""


@dataclass(frozen=True)
class Standing:
    """How a race stands; arrays are [M], in the schema's order."""

    is_settled: bool
    outcomes: Sequence[Outcome]
    gfi: NDArray[np.float64]
    """Estimates, within 1 % of equation 4 over the examples that the feature was ablated in."""
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    coverage: NDArray[np.float64]
    example_counts: NDArray[np.int64]
    """Examples that each feature was ablated in, before it was out."""
    example_count: int
    """Examples of the stream so far."""
    pairs_ablated: int
    """(example, feature) pairs that were not at their baselines."""
    pairs_saved: int
    """Further such pairs, which were not ablated."""


class Race:
    """A race under way. Not for several threads at a time."""

    def __init__(self, racing: Racing, feature_count: int) -> None:
        self._rule = racing
        self.racing = np.ones(feature_count, dtype=np.bool_)
        """Features to ablate, bool [M]: none once the race is settled."""
        self.is_settled = False
        self._too_rare = np.zeros(feature_count, dtype=np.bool_)
        self._left = self.racing.copy()
        self._magnitudes = Magnitudes(feature_count)
        self._examples = np.zeros(feature_count, dtype=np.int64)
        self._gfi, self._lower = np.zeros(feature_count), np.zeros(feature_count)
        self._upper = np.full(feature_count, np.inf)
        self._example_count = self._pairs_ablated = self._pairs_saved = 0
        self._looks, self._next_look = 0, 1.0

    def count(
        self,
        example_count: int,
        offsets: NDArray[np.uint32],
        values: NDArray[np.float32],
        present: NDArray[np.int64],
    ) -> None:
        """Count a batch in which the features that are `racing` were ablated.

        `offsets` [M + 1] and `values` [entries] are the non-zero LFIs by feature, as in SparseLfi;
        `present` [M] says how many examples each feature was not at its baseline in.
        """
        self._magnitudes.add(offsets, values)
        self._examples[self.racing] += example_count
        self._example_count += example_count
        ablated = int(present[self.racing].sum())
        self._pairs_ablated += ablated
        self._pairs_saved += int(present.sum()) - ablated
        if self._example_count >= self._next_look and not self.is_settled:
            self._look()

    def standing(self) -> Standing:
        """Return how the race stands."""
        self._estimate(np.flatnonzero(self.racing))
        return Standing(
            is_settled=self.is_settled,
            outcomes=[self._outcome(j) for j in range(len(self.racing))],
            gfi=self._gfi.copy(),
            lower=self._lower.copy(),
            upper=self._upper.copy(),
            coverage=self._magnitudes.counts / np.maximum(self._examples, 1),
            example_counts=self._examples.copy(),
            example_count=self._example_count,
            pairs_ablated=self._pairs_ablated,
            pairs_saved=self._pairs_saved,
        )

    def _outcome(self, feature: int) -> Outcome:
        if self._left[feature]:
            return Outcome.TOP if self.is_settled else Outcome.OPEN
        return Outcome.TOO_RARE if self._too_rare[feature] else Outcome.OUT

    def _look(self) -> None:
        """Narrow the bounds and put out who cannot be one of the K any more."""
        self._looks += 1
        self._next_look = _GROWTH * self._example_count
        spent = (1 - self._rule.confidence) / (self._looks * (self._looks + 1))
        features = np.flatnonzero(self._left)
        self._estimate(features)
        self._narrow(features, np.log(2 * len(self.racing) / spent))
        if len(self._lower) > self._rule.top_k:
            bar = np.partition(self._lower, -self._rule.top_k)[-self._rule.top_k]
            self._left &= ~(self._upper < bar)
        self._left &= ~self._too_rare
        self.is_settled = int(self._left.sum()) <= self._rule.top_k
        self.racing = self._left & (not self.is_settled)

    def _estimate(self, features: NDArray[np.intp]) -> None:
        share = self._magnitudes.counts[features] / max(self._example_count, 1)
        self._gfi[features] = share * self._magnitudes.medians(features)

    def _narrow(self, features: NDArray[np.intp], surprise: float) -> None:
        counts = self._magnitudes.counts[features]
        least, most = coverage_bounds(counts, self._example_count, surprise)
        ranks = median_ranks(counts, surprise)
        lower, _ = self._magnitudes.around(features, counts + 1 - ranks)
        _, upper = self._magnitudes.around(features, ranks)
        qualified = np.where(least >= self._rule.least_coverage, least, 0.0)
        self._too_rare[features] = most < self._rule.least_coverage
        self._lower[features] = np.maximum(self._lower[features], qualified * lower)
        self._upper[features] = np.minimum(self._upper[features], most * upper)
