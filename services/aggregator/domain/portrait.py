"""What windows show of their features, hung side by side so that any two can be compared.

A portrait is one vector of float32: importances, coverages, quantile functions of LFIs, shares of
values and correlations, at the same places in all portraits of a frame. So the mean of some
portraits is a portrait too: it is the usual window, the barycentre of their distributions. What a
window's summary does not hold is NaN.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.profile import Profile
from services.aggregator.domain.quantiles import LEVELS
from services.aggregator.domain.quantity import Layout, layout_of
from services.aggregator.domain.summary import Summary

_POINTS: NDArray[np.float64] = (np.arange(64) + 0.5) / 64
"""Levels at which a quantile function is taken."""
_ROW = 1 << 17
_ZERO = 1 << 16
"""A bucket's code is its distribution times _ROW, plus its key and _ZERO; the baseline's is the
distribution's first."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Where in a portrait everything is, and whose it is."""

    feature_count: int
    starts: NDArray[np.intp]
    """[D]: where each distribution begins among the shares."""
    distribution_owners: NDArray[np.intp]
    """[D]: whose quantity it is, by the feature's place."""
    proxy_owners: NDArray[np.intp]
    """[P]: likewise, of the correlations."""
    share_count: int

    @property
    def gfi(self) -> slice:
        """Importances, [M]."""
        return slice(0, self.feature_count)

    @property
    def coverage(self) -> slice:
        """Coverages, [M]."""
        return slice(self.feature_count, 2 * self.feature_count)

    @property
    def lfis(self) -> slice:
        """Quantile functions of the LFIs with their zeros, [M * 64]."""
        return slice(2 * self.feature_count, (2 + len(_POINTS)) * self.feature_count)

    @property
    def shares(self) -> slice:
        """Of the values of each distribution, the baseline among them; each sums up to 1."""
        return slice(self.lfis.stop, self.lfis.stop + self.share_count)

    @property
    def correlations(self) -> slice:
        """Signed, of each proxy with the prediction, [P]."""
        return slice(self.shares.stop, self.shares.stop + len(self.proxy_owners))


def portraits(
    features: Sequence[Feature], summaries: Sequence[Summary]
) -> tuple[Frame, NDArray[np.float32]]:
    """Return a frame and the summaries' portraits in it, one a row."""
    layout = layout_of(features)
    owners = np.array([each.feature for each in layout.distributions], dtype=np.intp)
    codes = _codes(layout, [each.profile for each in summaries if each.profile is not None])
    frame = Frame(
        feature_count=len(features),
        starts=np.searchsorted(codes, np.arange(len(owners)) * _ROW),
        distribution_owners=owners,
        proxy_owners=owners[list(layout.proxies)],
        share_count=len(codes),
    )
    rows = [_portrait(frame, codes, summary) for summary in summaries]
    return frame, np.stack(rows)


def average(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of portraits [n, L], of what is known of each."""
    sums, counts = _sums(rows)
    return _divided(sums, counts)


def averages_of_others(rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield for each of the portraits [n, L] the mean of all others."""
    sums, counts = _sums(rows)
    for row in rows:
        known = ~np.isnan(row)
        yield _divided(sums - np.where(known, row, 0.0), counts - known)


def _sums(rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    known = ~np.isnan(rows)
    sums = np.where(known, rows, np.float32(0)).sum(axis=0, dtype=np.float64)
    return sums, known.sum(axis=0)


def _divided(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return np.asarray(means, dtype=np.float32)


def _codes(layout: Layout, profiles: Sequence[Profile]) -> NDArray[np.int64]:
    """Return the codes of all buckets that occur, and of each distribution's baseline; rising."""
    baselines = np.arange(len(layout.distributions), dtype=np.int64) * _ROW
    # Not numpy.unique, which hashes integers: sorting these takes a tenth of the time.
    codes = np.sort(np.concatenate([baselines, *map(_codes_of, profiles)]))
    is_first = np.ones(len(codes), dtype=np.bool_)
    is_first[1:] = codes[1:] != codes[:-1]
    return codes[is_first]


def _codes_of(profile: Profile) -> NDArray[np.int64]:
    buckets = profile.buckets
    return np.asarray(buckets.rows * _ROW + buckets.keys.astype(np.int64) + _ZERO)


def _portrait(frame: Frame, codes: NDArray[np.int64], summary: Summary) -> NDArray[np.float32]:
    profile = summary.profile
    unknown = np.full(len(codes) + len(frame.proxy_owners), np.nan)
    values = [unknown] if profile is None else [_shares(frame, codes, profile)]
    if profile is not None:
        # What never changes goes along with nothing: a feature that vanishes loses its correlation.
        values.append(np.nan_to_num(profile.correlations.astype(np.float64)))
    return np.concatenate(
        [summary.gfi, summary.coverage, _quantile_functions(summary).ravel(), *values]
    ).astype(np.float32)


def _shares(frame: Frame, codes: NDArray[np.int64], profile: Profile) -> NDArray[np.float64]:
    """Return each distribution's shares: what is not at the baseline, spread over the buckets."""
    shares = np.zeros(len(codes))
    at_baseline = profile.baseline_rate.astype(np.float64)[frame.distribution_owners]
    totals = profile.buckets.totals()
    shares[frame.starts] = np.where(totals > 0, at_baseline, 1.0)
    rows = profile.buckets.rows
    counted = profile.buckets.counts / totals[rows]
    shares[np.searchsorted(codes, _codes_of(profile))] = counted * (1.0 - at_baseline[rows])
    return shares


def _quantile_functions(summary: Summary) -> NDArray[np.float64]:
    """Return quantile functions with the zeros, [M, 64]: below zero, at zero, above."""
    quantiles = summary.quantiles
    if quantiles is None:
        return np.full((len(summary.gfi), len(_POINTS)), np.nan)
    rows = quantiles.astype(np.float64)
    coverage = np.asarray(summary.coverage, dtype=np.float64)[:, np.newaxis]
    first = coverage * _shares_below_zero(rows)[:, np.newaxis]
    last = first + 1.0 - coverage
    is_zero = (first <= _POINTS) & (last > _POINTS)
    beside = np.where(first > _POINTS, _POINTS, _POINTS - (1.0 - coverage))
    levels = np.divide(beside, coverage, out=np.zeros_like(beside), where=coverage > 0)
    values = _interpolated(rows, np.clip(levels, 0.0, 1.0))
    return np.where(is_zero | (coverage == 0), 0.0, values)


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


def _interpolated(rows: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row's quantile function at its own levels, [M, n]; LEVELS are equally apart."""
    places = levels * (len(LEVELS) - 1)
    lower = np.minimum(places.astype(np.intp), len(LEVELS) - 2)
    low = np.take_along_axis(rows, lower, axis=1)
    high = np.take_along_axis(rows, lower + 1, axis=1)
    return low + (places - lower) * (high - low)
