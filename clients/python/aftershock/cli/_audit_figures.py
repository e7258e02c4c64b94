"""Figures of an audit. Needs the extra `figures`."""

import math
import struct
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from aftershock.cli._output import harmless
from aftershock.v1.audit_pb2 import (
    AuditReport,
    CooccurrenceEdge,
    LabelSweep,
    SaliencyOverlay,
    ThresholdReport,
)

_DRAWN_SWEEPS = 5
_LONGEST_LABEL = 24
Point = tuple[float, float]


def draw(report: AuditReport, folder: Path) -> tuple[Path, ...]:
    """Draw what the report holds into a folder; return the files."""
    painters: dict[str, Callable[[Figure], None]] = {}
    if report.neighbourhood:
        painters["neighbourhood"] = lambda on: _neighbourhood(
            on, report.neighbourhood, report.neighbourhood_label
        )
    if report.sweeps:
        painters["sweep"] = lambda on: _sweeps(on, report.sweeps[:_DRAWN_SWEEPS])
    if report.saliency.overlays:
        painters["saliency"] = lambda on: _saliency(on, report.saliency.overlays)
    if report.thresholds.points:
        painters["thresholds"] = lambda on: _thresholds(on, report.thresholds)
    return tuple(_saved(folder / f"{name}.png", paint) for name, paint in painters.items())


def _saved(file: Path, paint: Callable[[Figure], None]) -> Path:
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    paint(figure)
    with warnings.catch_warnings():
        # A label may be in any script, and the font lacks some.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(file)
    return file


def _neighbourhood(figure: Figure, edges: Sequence[CooccurrenceEdge], centre: str) -> None:
    """Draw labels on a circle about one of them; strong edges are thick."""
    labels = {label for edge in edges for label in (edge.label, edge.other)}
    places = _circle(sorted(labels - {centre})) | {centre: (0.0, 0.0)}
    strongest = max(edge.rows for edge in edges)
    axes = figure.subplots()
    for edge in edges:
        (x0, y0), (x1, y1) = places[edge.label], places[edge.other]
        is_own = centre in (edge.label, edge.other)
        axes.plot(
            [x0, x1],
            [y0, y1],
            color="tab:red" if is_own else "lightgrey",
            linewidth=0.5 + 3.0 * edge.rows / strongest,
            zorder=2 if is_own else 1,
        )
    for label, (x, y) in places.items():
        axes.annotate(
            _plain(label),
            (x, y),
            ha="center",
            va="center",
            fontsize=8,
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "grey"},
        )
    axes.set_title(f"What {_plain(centre)} meets; lines are rows that hold both")
    axes.set_axis_off()
    axes.margins(0.15)


def _circle(labels: Sequence[str]) -> dict[str, Point]:
    angles = [2 * math.pi * i / max(1, len(labels)) for i in range(len(labels))]
    return {
        label: (math.cos(angle), math.sin(angle))
        for label, angle in zip(labels, angles, strict=True)
    }


def _sweeps(figure: Figure, sweeps: Iterable[LabelSweep]) -> None:
    """Draw classes and dilution by edge threshold, one line a label."""
    above, below = figure.subplots(2, 1, sharex=True)
    for sweep in sweeps:
        thresholds = [point.min_overlaps for point in sweep.points]
        counts = [point.class_count for point in sweep.points]
        above.plot(thresholds, counts, marker="o", label=_plain(sweep.label))
        known = [point for point in sweep.points if point.HasField("dilution")]
        below.plot(
            [point.min_overlaps for point in known],
            [point.dilution for point in known],
            marker="o",
        )
    above.set_ylabel("classes")
    above.legend(fontsize=8)
    below.set_ylabel("other labels of the set\nin a row of a class")
    below.set_xlabel("edge threshold, rows")


def _saliency(figure: Figure, overlays: Sequence[SaliencyOverlay]) -> None:
    """Draw each map with the trigger's outline."""
    panels = figure.subplots(1, len(overlays), squeeze=False)[0]
    for axes, overlay in zip(panels, overlays, strict=True):
        values = struct.unpack(f"<{overlay.height * overlay.width}f", overlay.map)
        axes.imshow(_rows_of(values, overlay.width), cmap="magma")
        axes.contour(_rows_of(overlay.mask, overlay.width), levels=[0.5], colors="cyan")
        axes.set_title(f"example {overlay.row}", fontsize=9)
        axes.set_axis_off()
    figure.suptitle("Saliency; the trigger is outlined")


def _thresholds(figure: Figure, thresholds: ThresholdReport) -> None:
    """Draw both kinds of errors by threshold."""
    axes = figure.subplots()
    grid = [point.threshold for point in thresholds.points]
    axes.plot(grid, [p.false_positives for p in thresholds.points], label="not given by a person")
    axes.plot(grid, [p.false_negatives for p in thresholds.points], label="missing")
    axes.axvline(thresholds.chosen, color="grey", linestyle="--", label="chosen")
    axes.set_xlabel("threshold")
    axes.set_ylabel("labels")
    axes.legend()


def _rows_of(values: Sequence[float], width: int) -> list[list[float]]:
    return [list(values[start : start + width]) for start in range(0, len(values), width)]


def _plain(label: str) -> str:
    """Return a label as text: a dollar sign would begin a formula."""
    short = label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}..."
    return harmless(short).replace("$", "\\$")
