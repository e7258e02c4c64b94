"""What a window shows of its features, in the form in which any two windows can be compared.

The mean of some portraits is a portrait too: it is the usual window, the barycentre of their
distributions. What a window's summary does not hold is not known of its portrait either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.quantiles import LEVELS
from services.aggregator.domain.quantity import layout_of
from services.aggregator.domain.shares import Shares, shares_of
from services.aggregator.domain.summary import Summary

_POINTS: NDArray[np.float64] = (np.arange(64) + 0.5) / 64
"""Levels at which a quantile function is taken."""
_STEPS = len(LEVELS) - 1


@dataclass(frozen=True, eq=False)
class Frame:
    """Whose everything in a portrait is."""

    feature_count: int
    distribution_owners: NDArray[np.intp]
    """[D], rising: whose quantity each distribution is, by the feature's place."""
    proxy_owners: NDArray[np.intp]
    """[P], rising: likewise, of the correlations."""

    @classmethod
    def of(cls, features: Sequence[Feature]) -> "Frame":
        """Return the frame of these features' portraits."""
        layout = layout_of(features)
        owners = np.array([each.feature for each in layout.distributions], dtype=np.intp)
        return cls(len(features), owners, owners[list(layout.proxies)])

    def largest_of_distributions(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each feature's largest known value of [D], [M]; NaN where none is known."""
        return self._largest(values, self.distribution_owners)

    def largest_of_proxies(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each feature's largest known value of [P], [M]; NaN where none is known."""
        return self._largest(values, self.proxy_owners)

    def _largest(
        self, values: NDArray[np.float64], owners: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        largest = np.full(self.feature_count, np.nan)
        if len(owners):
            is_first = np.diff(owners, prepend=-1) > 0
            largest[owners[is_first]] = np.fmax.reduceat(values, np.flatnonzero(is_first))
        return largest


@dataclass(frozen=True, eq=False)
class Portrait:
    """What is known of one window, M features.

    `gfi` and `coverage` float64 [M]. `lfis` float32 [M, 64]: quantile functions of the LFIs with
    their zeros. `correlations` float32 [P]: signed, of each proxy with the prediction. `shares`: of
    the values of each distribution. What is not known is NaN, or None of shares.
    """

    gfi: NDArray[np.float64]
    coverage: NDArray[np.float64]
    lfis: NDArray[np.float32]
    correlations: NDArray[np.float32]
    shares: Shares | None

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        dense = self.gfi.nbytes + self.coverage.nbytes + self.lfis.nbytes + self.correlations.nbytes
        return dense + (0 if self.shares is None else self.shares.nbytes)


def portrait_of(frame: Frame, summary: Summary) -> Portrait:
    """Return the portrait of a window by its summary."""
    profile = summary.profile
    correlations = np.full(len(frame.proxy_owners), np.nan, dtype=np.float32)
    if profile is not None:
        # What never changes goes along with nothing: a feature that vanishes loses its correlation.
        correlations = np.nan_to_num(profile.correlations)
    return Portrait(
        gfi=summary.gfi,
        coverage=summary.coverage,
        lfis=_quantile_functions(summary),
        correlations=correlations,
        shares=None if profile is None else shares_of(profile, frame.distribution_owners),
    )


def _quantile_functions(summary: Summary) -> NDArray[np.float32]:
    """Return quantile functions with the zeros, [M, 64]: below zero, at zero, above."""
    if summary.quantiles is None:
        return np.full((len(summary.gfi), len(_POINTS)), np.nan, dtype=np.float32)
    rows = summary.quantiles.astype(np.float64)
    coverage = np.asarray(summary.coverage, dtype=np.float64)[:, np.newaxis]
    first = coverage * _shares_below_zero(rows)[:, np.newaxis]
    last = first + 1.0 - coverage
    beside = np.where(first > _POINTS, _POINTS, _POINTS - (1.0 - coverage))
    places = beside * (_STEPS / np.where(coverage > 0, coverage, 1.0))
    values = _interpolated(rows, np.clip(places, 0.0, _STEPS))
    values[(first <= _POINTS) & (last > _POINTS)] = 0.0
    return values.astype(np.float32)


def _shares_below_zero(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the level at which each quantile function [M, levels] passes zero, [M]."""
    after = (rows <= 0.0).sum(axis=1)
    upper = np.clip(after, 1, len(LEVELS) - 1)
    place = np.arange(len(rows))
    low, high = rows[place, upper - 1], rows[place, upper]
    rise = high - low
    part = np.divide(-low, rise, out=np.zeros_like(rise), where=rise > 0)
    passed = LEVELS[upper - 1] + part * (LEVELS[upper] - LEVELS[upper - 1])
    return np.select([rows[:, 0] > 0.0, rows[:, -1] <= 0.0], [0.0, 1.0], passed)


def _interpolated(rows: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row's values between its levels, [M, n]; levels are one place apart."""
    lower = np.minimum(places.astype(np.intp), _STEPS - 1)
    flat = lower + np.arange(0, rows.size, len(LEVELS))[:, np.newaxis]
    low = rows.take(flat)
    rise = rows.take(flat + 1) - low
    return np.asarray(low + (places - lower) * rise)
