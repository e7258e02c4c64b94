"""Figures as PNG files. Needs the extra `drill`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clients.drill.report import Report

DPI = 120
BINS = 40
Numbers = npt.NDArray[np.float64]


def save_report_figures(report: Report, folder: Path) -> list[Path]:
    """The paper's figures 1 and 2 for this model, recall by method, false alarms; where they are.

    Figure 2 is of the run that moved predictions most.
    """
    findings = report.findings
    magnitudes = histograms(
        {name: values for name, values in findings.magnitudes.by_equation.items() if len(values)},
        findings.magnitudes.feature,
        "|LFI|",
    )
    worst = max(findings.runs, key=lambda run: abs(run.prediction_change))
    control, anomaly = np.array(list(worst.gfi.values())).T
    broken = [list(worst.gfi).index(culprit) for culprit in worst.culprits]
    title = f"{worst.title}: prediction {worst.prediction_change:+.1%}"
    return [
        save(magnitudes, folder / "figure-1.png"),
        save(
            importances_side_by_side({title: (control, anomaly, broken)}), folder / "figure-2.png"
        ),
        save(recall_by_method(report), folder / "recall.png"),
        save(false_alarms(report), folder / "false_alarms.png"),
    ]


def recall_by_method(report: Report) -> Figure:
    """Bars: recall of all broken features, and of those above and below the median GFI."""
    figure, axes = _figure()
    methods = list(report.recalls)
    places = np.arange(len(methods))
    bars = {
        "all": [r.recall for r in report.recalls.values()],
        "GFI above the median": [r.above_median for r in report.recalls.values()],
        "GFI below the median": [r.below_median for r in report.recalls.values()],
    }
    for number, (label, values) in enumerate(bars.items()):
        axes.barh(places + 0.27 * (1 - number), np.nan_to_num(values), 0.25, label=label)
    axes.set_yticks(places, methods)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"recall within the first {report.top} of {report.findings.features} features")
    axes.legend()
    return figure


def false_alarms(report: Report) -> Figure:
    """Lines: how much is detected at how many false flags a clean window."""
    figure, axes = _figure()
    for method in report.recalls:
        points = np.array(report.trade_off(method)).reshape(-1, 2)
        axes.plot(points[:, 0], points[:, 1], drawstyle="steps-post", label=method)
    axes.set_xscale("symlog", linthresh=0.5)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("false flags per clean window")
    axes.set_ylabel("faults with a broken feature flagged")
    axes.legend()
    return figure


def histograms(magnitudes: Mapping[str, Numbers], title: str, label: str) -> Figure:
    """The paper's figure 1: distributions on one scale, up to where 99 in 100 of each lie."""
    figure, axes = _figure()
    most = max(float(np.quantile(values, 0.99)) for values in magnitudes.values())
    for name, values in magnitudes.items():
        weights = np.full(len(values), 1 / len(values))
        axes.hist(values, bins=BINS, range=(0, most), weights=weights, histtype="step", label=name)
    axes.set_title(title)
    axes.set_xlabel(label)
    axes.set_ylabel("share of examples")
    axes.legend()
    return figure


def importances_side_by_side(
    panels: Mapping[str, tuple[Numbers, Numbers, Sequence[int]]],
) -> Figure:
    """The paper's figure 2: by panel, GFI at control and anomaly, and the broken features."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for place, (title, (control, anomaly, culprits)) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        axes.scatter(control, anomaly, s=8, label="features")
        axes.scatter(control[culprits], anomaly[culprits], s=30, marker="x", label="broken")
        most = float(max(control.max(), anomaly.max()))
        axes.plot([0, most], [0, most], linewidth=0.5, color="grey")
        axes.set_title(title)
        axes.set_xlabel("GFI at control")
        axes.set_ylabel("GFI at anomaly")
        axes.legend()
    return figure


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str
) -> Figure:
    """One line a series."""
    figure, axes = _figure()
    for name, (xs, ys) in series.items():
        axes.plot(xs, ys, marker=".", label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend()
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and answer where it is; equal figures are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    return figure, figure.add_subplot()
