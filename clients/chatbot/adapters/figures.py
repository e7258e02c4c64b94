"""The plots of an incident, as PNG. Pure: equal data makes equal bytes.

Made for a phone: few words, large letters, shapes beside colours, and colours that colour-blind
people tell apart (Okabe and Ito's). Names are never read as mathematics.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure

from clients.chatbot.core.text import clean

_INCHES, _DPI = (6.0, 4.5), 160
_LABEL_LENGTH = 28
_BLUE, _ORANGE, _VERMILION = "#0072B2", "#E69F00", "#D55E00"
_SKY = "#56B4E9"


@dataclass(frozen=True)
class Theme:
    """Colours of everything but data."""

    paper: str
    ink: str
    faint: str
    data: str
    """Of what is ordinary."""


LIGHT = Theme("#FFFFFF", "#1D1C1D", "#B8B8B8", _BLUE)
DARK = Theme("#1A1D21", "#E8E8E8", "#5A5D61", _SKY)
THEMES = {"light": LIGHT, "dark": DARK}


@dataclass(frozen=True)
class ImportancePoint:
    """One feature's GFI in both windows."""

    feature: str
    control: float
    anomaly: float
    is_culprit: bool


@dataclass(frozen=True)
class CalibrationPoint:
    """One window's calibration with its interval."""

    start: datetime
    ratio: float
    lower: float
    upper: float
    is_anomalous: bool


@dataclass(frozen=True)
class LfiDistribution:
    """The LFIs of one feature in one window."""

    name: str
    """Of the window: control or anomaly."""
    coverage: float
    quantiles: Sequence[float]
    """Of those that are not zero, signed, at levels equally apart from 0 to 1."""


def importances(points: Sequence[ImportancePoint], theme: Theme) -> bytes:
    """The paper's figure 2: GFI at anomaly against GFI at control, the culprits named."""
    figure, axes = _figure(theme, "Which features matter now")
    quiet = [point for point in points if not point.is_culprit]
    loud = [point for point in points if point.is_culprit]
    axes.scatter(
        [p.control for p in quiet],
        [p.anomaly for p in quiet],
        s=18,
        color=theme.data,
        label="quiet",
    )
    axes.scatter(
        [p.control for p in loud],
        [p.anomaly for p in loud],
        s=70,
        marker="D",
        color=_VERMILION,
        edgecolors=theme.ink,
        label="shifted",
    )
    _same_scale(axes, points)
    _label(axes, loud, theme)
    axes.set_xlabel("GFI before")
    axes.set_ylabel("GFI now")
    _legend(axes, theme, "lower right")
    return _png(figure)


def _same_scale(axes: Axes, points: Sequence[ImportancePoint]) -> None:
    values = np.array([[p.control, p.anomaly] for p in points] or [[0.0, 1.0]])
    most = max(float(values.max()), 1e-12)
    positive = values[values > 0]
    linear = float(np.quantile(positive, 0.1)) if len(positive) else most
    for set_scale, set_limits in (
        (axes.set_xscale, axes.set_xlim),
        (axes.set_yscale, axes.set_ylim),
    ):
        set_scale("symlog", linthresh=linear)
        set_limits(0, most * 2.5)
    axes.plot([0, most * 2.5], [0, most * 2.5], linewidth=1, color="grey", zorder=0)


def _label(axes: Axes, loud: Sequence[ImportancePoint], theme: Theme) -> None:
    for place, point in enumerate(sorted(loud, key=lambda p: -p.anomaly)):
        axes.annotate(
            clean(point.feature, _LABEL_LENGTH),
            (point.control, point.anomaly),
            xytext=(8, 6 - 14 * (place % 2)),
            textcoords="offset points",
            fontsize=11,
            color=theme.ink,
            parse_math=False,
        )


def calibrations(points: Sequence[CalibrationPoint], broke: datetime | None, theme: Theme) -> bytes:
    """Calibration window by window, and the moment of the break."""
    figure, axes = _figure(theme, "Calibration: expected over observed")
    starts = [_day(point.start) for point in points]
    lower, upper = [p.lower for p in points], [p.upper for p in points]
    axes.fill_between(starts, lower, upper, color=theme.data, alpha=0.25, linewidth=0)
    ratios = [point.ratio for point in points]
    axes.plot(starts, ratios, color=theme.data, marker="o", markersize=4, label="healthy")
    out = [point for point in points if point.is_anomalous]
    axes.scatter(
        [_day(point.start) for point in out],
        [point.ratio for point in out],
        s=60,
        marker="s",
        color=_VERMILION,
        zorder=3,
        label="anomalous",
    )
    axes.axhline(1.0, color=theme.faint, linewidth=1)
    if broke is not None:
        axes.axvline(_day(broke), color=_ORANGE, linestyle="--", linewidth=2, label="break")
    axes.xaxis.set_major_locator(AutoDateLocator(maxticks=6))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%d %b\n%H:%M"))  # type: ignore[no-untyped-call]
    _legend(axes, theme, "best")
    return _png(figure)


def _day(moment: datetime) -> float:
    return float(date2num(moment))  # type: ignore[no-untyped-call]


def lfis(feature: str, windows: Sequence[LfiDistribution], theme: Theme) -> bytes:
    """How strongly one feature moved single predictions, in both windows."""
    figure, axes = _figure(theme, clean(feature, 44))
    looks = ((theme.data, "-"), (_VERMILION, "--"))
    spread = [abs(value) for window in windows for value in window.quantiles if value]
    for window, (color, style) in zip(windows, looks, strict=False):
        xs, shares = _cumulative(window)
        label = f"{window.name}: {window.coverage:.0%} not zero"
        axes.step(
            xs, shares, where="post", color=color, linestyle=style, linewidth=2.5, label=label
        )
    axes.set_xscale("symlog", linthresh=float(np.quantile(spread, 0.1)) if spread else 1.0)
    axes.set_ylim(0, 1)
    axes.set_xlabel("LFI")
    axes.set_ylabel("share of examples up to it")
    _legend(axes, theme, "upper left")
    return _png(figure)


def _cumulative(window: LfiDistribution) -> tuple[list[float], list[float]]:
    """Return the distribution function, with the zeros that the quantiles leave out."""
    values = np.asarray(window.quantiles, dtype=float)
    levels = np.linspace(0, 1, len(values)) if len(values) else np.zeros(0)
    shares = window.coverage * levels
    shares[values >= 0] += 1 - window.coverage
    below = int((values < 0).sum())
    before = float(shares[below - 1]) if below else 0.0
    xs = [*values[:below], 0.0, *values[below:]]
    return xs, [*shares[:below], before + 1 - window.coverage, *shares[below:]]


def _figure(theme: Theme, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_INCHES, layout="constrained", facecolor=theme.paper)
    axes = figure.add_subplot(facecolor=theme.paper)
    axes.set_title(title, color=theme.ink, fontsize=14, parse_math=False)
    axes.tick_params(colors=theme.ink, labelsize=11)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=theme.ink, fontsize=13)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(theme.faint)
    return figure, axes


def _legend(axes: Axes, theme: Theme, place: Literal["best", "lower right", "upper left"]) -> None:
    legend = axes.legend(loc=place, frameon=False, fontsize=11)
    for text in legend.get_texts():
        text.set(color=theme.ink)
        text.set_parse_math(False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A font without a sign draws a box in its place.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
