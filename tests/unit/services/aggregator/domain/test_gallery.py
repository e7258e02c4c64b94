"""Windows side by side, against the signals' definitions worked out in float64, one by one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from services.aggregator.domain import shares as shares_module
from services.aggregator.domain.checkpoint import Feature, FeatureKind
from services.aggregator.domain.gallery import Gallery
from services.aggregator.domain.portrait import Frame, portrait_of
from services.aggregator.domain.profile import SCALE, Profile
from services.aggregator.domain.quantity import layout_of
from services.aggregator.domain.shares import distances, tables
from services.aggregator.domain.signals import SIGNALS, Signal, Signals, of
from services.aggregator.domain.sketch import Ragged
from services.aggregator.domain.summary import Summary

FEATURES = [Feature(f"f{j}", kind) for j, kind in enumerate([*FeatureKind] * 12)]
FRAME = Frame.of(FEATURES)
LAYOUT = layout_of(FEATURES)
Values = Sequence[dict[int, float]]
"""By distribution: what share each bucket has; the baseline is at None's place, 1 << 20."""
BASELINE = 1 << 20


def drawn(seed: int) -> Summary:
    """A window of features of all kinds; some are never seen but at their baseline."""
    rng, count = np.random.default_rng(seed), len(FEATURES)
    rows = []
    for _ in LAYOUT.distributions:
        keys = np.unique(rng.integers(-2040, 2041, rng.integers(0, 12)))
        rows.append((keys, rng.integers(1, SCALE // 12, len(keys))))
    profile = Profile(
        example_count=100,
        baseline_rate=rng.random(count).astype(np.float32),
        buckets=Ragged(
            np.cumsum([0, *(len(keys) for keys, _ in rows)]).astype(np.uint32),
            np.concatenate([keys for keys, _ in rows]).astype(np.int16),
            np.concatenate([counts for _, counts in rows]).astype(np.uint32),
        ),
        hitters=Ragged(np.zeros(1, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32)),
        correlations=np.where(
            rng.random(len(LAYOUT.proxies)) < 0.2, np.nan, rng.uniform(-1, 1, len(LAYOUT.proxies))
        ).astype(np.float32),
    )
    return Summary(
        considered_count=50,
        displayed_count=50,
        gfi=rng.random(count),
        coverage=np.where(rng.random(count) < 0.1, 0.0, rng.random(count)),
        standard_error=rng.random(count) * 0.01,
        quantiles=np.sort(rng.normal(size=(count, 33)), axis=1).astype(np.float32),
        profile=profile,
    )


def values_of(summary: Summary) -> Values:
    profile = summary.profile
    assert profile is not None
    found = []
    for d, each in enumerate(LAYOUT.distributions):
        keys, shares = profile.distribution(d)
        absent = float(profile.baseline_rate[each.feature]) if len(keys) else 1.0
        present = dict(zip(keys.tolist(), (shares * (1 - absent)).tolist(), strict=True))
        found.append({BASELINE: absent, **present})
    return found


def mean_of(windows: Sequence[Values]) -> Values:
    return [
        {key: sum(d.get(key, 0.0) for d in each) / len(each) for key in set().union(*each)}
        for each in zip(*windows, strict=True)
    ]


def distance(one: dict[int, float], other: dict[int, float]) -> float:
    """Jensen and Shannon's, as the books have it."""

    def entropy(p: float) -> float:
        return -p * np.log2(p) if p > 0 else 0.0

    divergence = 0.0
    for key in {*one, *other}:
        p, q = one.get(key, 0.0), other.get(key, 0.0)
        divergence += entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def largest(of_distributions: Sequence[float], owners: Sequence[int]) -> NDArray[np.float64]:
    found = np.full(len(FEATURES), np.nan)
    for owner, value in zip(owners, of_distributions, strict=True):
        if not np.isnan(value):
            found[owner] = np.fmax(found[owner], value)
    return found


def value_distances(one: Values, other: Values) -> NDArray[np.float64]:
    owners = [each.feature for each in LAYOUT.distributions]
    return largest([distance(a, b) for a, b in zip(one, other, strict=True)], owners)


WINDOWS = [drawn(seed) for seed in range(6)]
VALUES = [values_of(window) for window in WINDOWS]


@pytest.fixture(params=[64, 5])
def gallery(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    """All windows, their distributions in one table or in many."""
    monkeypatch.setattr(shares_module, "_AT_ONCE", request.param)
    return Gallery.of(FRAME, [portrait_of(FRAME, window) for window in WINDOWS])


def test_any_two_windows(gallery: Gallery) -> None:
    found = gallery.changes(4, 1)
    expected = expected_changes(WINDOWS[4], VALUES[4], [WINDOWS[1]], [VALUES[1]])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_each_window_of_a_group_and_the_mean_of_the_others(gallery: Gallery) -> None:
    places = (0, 2, 3, 5)
    for place, found in zip(places, gallery.group(places).from_usual, strict=True):
        others = [other for other in places if other != place]
        expected = expected_changes(
            WINDOWS[place], VALUES[place], [WINDOWS[n] for n in others], [VALUES[n] for n in others]
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_usual_window_is_a_window_like_any_other(gallery: Gallery) -> None:
    places = (0, 1, 2)
    usual = gallery.group(places).usual
    found = Gallery.of(FRAME, [portrait_of(FRAME, WINDOWS[4]), usual]).changes(0, 1)
    expected = expected_changes(
        WINDOWS[4], VALUES[4], [WINDOWS[n] for n in places], [VALUES[n] for n in places]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def expected_changes(
    one: Summary, values: Values, others: Sequence[Summary], other_values: Sequence[Values]
) -> Signals:
    """The signals from the mean of others, each by its definition."""
    curves = [portrait_of(FRAME, window).lfis.astype(np.float64) for window in (one, *others)]
    correlations = [
        np.nan_to_num(window.profile.correlations.astype(np.float64))
        for window in (one, *others)
        if window.profile is not None
    ]
    usual = np.mean(correlations[1:], axis=0)
    proxies = [LAYOUT.distributions[d].feature for d in LAYOUT.proxies]
    by_signal = {
        Signal.LFI_DISTANCE: np.abs(curves[0] - np.mean(curves[1:], axis=0)).mean(axis=1),
        Signal.GFI_SHIFT: np.abs(one.gfi - np.mean([o.gfi for o in others], axis=0)),
        Signal.COVERAGE_CHANGE: np.abs(
            one.coverage - np.mean([o.coverage for o in others], axis=0)
        ),
        Signal.VALUE_DISTANCE: value_distances(values, mean_of(other_values)),
        Signal.MFC_SHIFT: largest(np.abs(correlations[0] - usual).tolist(), proxies),
    }
    return np.stack([by_signal[signal] for signal in SIGNALS])


def test_a_group_knows_what_most_of_it_know() -> None:
    """A window from before sketches is held against the others by what is known of it."""
    older = replace(WINDOWS[1], profile=None, quantiles=None)
    windows = [WINDOWS[0], older, WINDOWS[2]]
    gallery = Gallery.of(FRAME, [portrait_of(FRAME, window) for window in windows])
    group = gallery.group((0, 1, 2))
    unknown = {s for s in SIGNALS if np.isnan(of(group.from_usual[1], s)).all()}
    assert unknown == {Signal.LFI_DISTANCE, Signal.VALUE_DISTANCE, Signal.MFC_SHIFT}
    np.testing.assert_allclose(
        of(group.from_usual[0], Signal.VALUE_DISTANCE),
        value_distances(VALUES[0], VALUES[2]),
        atol=1e-6,
    )
    assert not np.isnan(group.usual.lfis).any()
    alone = Gallery.of(FRAME, [portrait_of(FRAME, each) for each in (older, older, WINDOWS[0])])
    assert np.isnan(of(alone.group((0, 1, 2)).from_usual[2], Signal.VALUE_DISTANCE)).all()


@pytest.mark.parametrize("step", [1e-7, 1e-4, 0.3])
def test_distributions_next_to_each_other_are_told_apart(step: float) -> None:
    """The distance is the root of something small: single precision must not eat it."""
    rng = np.random.default_rng(1)
    one = rng.dirichlet(np.ones(200), 3).astype(np.float32)
    tilt = rng.standard_normal((3, 200))
    other = np.maximum(one * (1 + step * tilt), 0).astype(np.float32)
    starts = np.array([0, 50, 120])
    for p, q in zip(one, other, strict=True):
        exact = [
            distance(dict(enumerate(a.tolist())), dict(enumerate(b.tolist())))
            for a, b in zip(
                np.split(p.astype(float), starts[1:]),
                np.split(q.astype(float), starts[1:]),
                strict=True,
            )
        ]
        assert distances(p, q, starts) == pytest.approx(exact, rel=1e-5, abs=2e-7)


def test_no_distributions_at_all() -> None:
    assert tables([None, None], 0) == []
