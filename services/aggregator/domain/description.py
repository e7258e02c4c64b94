"""What one feature's values looked like, in numbers that a person reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.profile import SCALE, Profile, middle_of
from services.aggregator.domain.quantity import Quantity, layout_of

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Shares of the examples that are not at the baseline."""


@dataclass(frozen=True)
class HeavyHitter:
    """How often an id occurs."""

    id: int
    frequency: float
    """Occurrences per example, at least."""


@dataclass(frozen=True)
class QuantityDescription:
    """One quantity of a feature."""

    quantity: Quantity
    quantiles: Sequence[float]
    """At LEVELS, each a bucket's middle; none of ids, or where all examples are at the baseline."""
    heavy_hitters: Sequence[HeavyHitter]
    """The most frequent first; none of numbers."""
    correlation: float | None
    """With the prediction; None where there is none."""


@dataclass(frozen=True)
class Description:
    """One feature over one window."""

    feature: Feature
    example_count: int
    """Examples whose values were counted; where there are none, nothing else is known."""
    baseline_rate: float
    quantities: Sequence[QuantityDescription]
    coverage: float = 0.0
    """Share of examples with an LFI that is not zero."""
    lfi_quantiles: Sequence[float] = ()
    """Of those, at `quantiles.LEVELS`; none where there are none, or where they were not kept."""


def describe(features: Sequence[Feature], place: int, profile: Profile | None) -> Description:
    """Return what is known of the feature at that place."""
    feature = features[place]
    if profile is None:
        return Description(feature, 0, 0.0, ())
    layout = layout_of(features)
    return Description(
        feature=feature,
        example_count=profile.example_count,
        baseline_rate=float(profile.baseline_rate[place]),
        quantities=[
            QuantityDescription(
                each.quantity,
                () if each.quantity is Quantity.ID else _quantiles(profile, d),
                _heavy_hitters(profile, layout.ids.index(d)) if d in layout.ids else (),
                _correlation(profile, layout.proxies.index(d)) if d in layout.proxies else None,
            )
            for d, each in enumerate(layout.distributions)
            if each.feature == place
        ],
    )


def _quantiles(profile: Profile, d: int) -> list[float]:
    buckets, shares = profile.distribution(d)
    if not len(buckets):
        return []
    # Shares that sum up to 1 but for a rounding must not lead beyond the last bucket.
    places = np.searchsorted(np.cumsum(shares) + 1e-9, LEVELS)
    return [float(value) for value in middle_of(buckets[np.minimum(places, len(buckets) - 1)])]


def _heavy_hitters(profile: Profile, row: int) -> list[HeavyHitter]:
    hitters = profile.hitters
    entries = slice(hitters.offsets[row], hitters.offsets[row + 1])
    keys, counts = hitters.keys[entries], hitters.counts[entries]
    return [
        HeavyHitter(int(keys[n]), float(counts[n]) / SCALE)
        for n in np.argsort(-counts.astype(np.int64), kind="stable")
    ]


def _correlation(profile: Profile, row: int) -> float | None:
    value = float(profile.correlations[row])
    return None if np.isnan(value) else value
