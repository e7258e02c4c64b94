"""A report for people."""

import math
import os
import sys
from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from clients.drill.report import Report
from clients.drill.scores import COMPARED

PAGE_WIDTH = 160


def show_report(report: Report) -> None:
    """Print the paper's Table 1 for this model, then recall by method and importance."""
    wide = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if wide else PAGE_WIDTH, highlight=False, markup=False)
    for part in _parts(report):
        console.print(part)


def _parts(report: Report) -> Iterator[Table | str]:
    findings = report.findings
    yield (
        f"{findings.subject}: {findings.features} features, {len(findings.runs)} runs of "
        f"{findings.rows:,} examples, control: {findings.control}, K = {report.top}"
    )
    yield _cases(report)
    yield _recalls(report)
    yield (
        f"False-discovery control flags {report.flags_per_clean_window:.1f} features a clean "
        f"window, and a broken one in {report.detection:.0%} of the runs."
    )
    for reason in findings.left_out:
        yield f"left out: {reason}"


def _cases(report: Report) -> Table:
    """One row a case; by what is asked for and what people have. All methods have recalls."""
    methods = [m for m in COMPARED if m in report.findings.methods]
    table = Table(
        title="Broken features found in the first K, by case", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("#", no_wrap=True)
    table.add_column("corruption", min_width=14)
    table.add_column("broken", justify="right")
    table.add_column("change", justify="right")
    for method in methods:
        table.add_column(method.removesuffix(" shift"), justify="right")
    for row in report.cases:
        found = [f"{row.found[method]:.2g}" for method in methods]
        change = f"{row.prediction_change:.2%}"
        table.add_row(row.case, row.title, f"{row.culprits:g}", change, *found)
    return table


def _recalls(report: Report) -> Table:
    table = Table(title="Recall by method")
    for name in (
        "method",
        "recall",
        "at least one",
        "where predictions moved 1 %",
        "GFI above the median",
        "below",
    ):
        table.add_column(name, justify="left" if name == "method" else "right")
    for method, recall in report.recalls.items():
        table.add_row(method, *(_share(value) for value in vars(recall).values()))
    return table


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
