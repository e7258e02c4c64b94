"""Tells an incident on a terminal: calibration hour by hour, ranked shifts, what was done."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from aftershock.v1.incident_pb2 import Incident, Mitigation
from aftershock.v1.shift_pb2 import Comparison
from aftershock.v1.window_pb2 import Calibration, Window
from clients.drill.replay import Hour

_TOP = 5


@dataclass
class Phase:
    """Events over the windows of one phase of the story."""

    expected: float = 0.0
    observed: int = 0

    def add(self, calibration: Calibration) -> None:
        """Count a window."""
        self.expected += calibration.expected
        self.observed += calibration.observed

    @property
    def calibration(self) -> float | None:
        """Expected over observed events; None before the first window."""
        return round(self.expected / self.observed, 4) if self.observed else None


@dataclass
class Story:
    """Prints as it goes and keeps what the last line reports."""

    case: int | str
    console: Console
    culprits: Sequence[str] = ()
    phases: dict[str, Phase] = field(
        default_factory=lambda: {name: Phase() for name in ("healthy", "broken", "mitigated")}
    )
    ranked: list[str] = field(default_factory=list)
    state: str = "NO_INCIDENT"

    def hour(self, phase: str, hour: Hour, window: Window) -> None:
        """Tell one window's calibration."""
        calibration = window.calibration
        self.phases[phase].add(calibration)
        mark = "[bold red]anomalous[/]" if calibration.anomalous else "healthy"
        self.console.print(
            f"  day {hour.day} {hour.start:%H:%M}  calibration {calibration.ratio:.2f} "
            f"({calibration.lower:.2f} to {calibration.upper:.2f})  {mark}",
            highlight=False,
        )

    def say(self, text: str) -> None:
        """Tell something in words."""
        self.console.print(text, highlight=False)

    def shifts(self, comparison: Comparison) -> None:
        """Tell which features' importance shifted."""
        self.ranked = [shift.feature for shift in comparison.shifts]
        table = Table(title="Ranked shifts", title_justify="left")
        table.add_column("rank", justify="right")
        table.add_column("feature", no_wrap=True)
        for heading in ("GFI before", "GFI now", "z", "coverage", "rank by GFI"):
            table.add_column(heading, justify="right")
        for shift in comparison.shifts[:_TOP]:
            name = f"[bold red]{shift.feature}[/]" if shift.significant else shift.feature
            table.add_row(
                str(shift.rank),
                name,
                f"{shift.control_gfi:.4f}",
                f"{shift.anomaly_gfi:.4f}",
                f"{shift.z:+.1f}",
                f"{shift.control_coverage:.0%} -> {shift.anomaly_coverage:.0%}",
                f"{shift.control_rank} -> {shift.anomaly_rank}",
            )
        self.console.print(table)
        quiet = comparison.feature_count - comparison.significant_count
        self.say(f"  {quiet} of {comparison.feature_count} features are quiet")

    def proposal(self, mitigation: Mitigation, calibration: Calibration) -> None:
        """Tell what the policy proposes, beside doing nothing."""
        self.say(f"[bold]Proposed: switch off {', '.join(mitigation.features)}[/]")
        preview = mitigation.preview
        if preview.missing_reason:
            self.say(f"  no preview: {preview.missing_reason}")
            return
        self.say(
            f"  preview: calibration {calibration.ratio:.2f} -> {preview.calibration:.2f} "
            f"({preview.lower:.2f} to {preview.upper:.2f}); doing nothing: {calibration.ratio:.2f}"
        )

    def timeline(self, incident: Incident) -> None:
        """Tell the incident's own record."""
        self.say("[bold]Timeline[/]")
        for entry in incident.timeline:
            time = entry.time.ToDatetime()
            self.say(f"  {time:%H:%M:%S}  {entry.actor}: {entry.message}")

    def summary(self, seconds: float) -> dict[str, Any]:
        """Return the last line: what happened, for a program to read."""
        ranks = [self.ranked.index(name) + 1 for name in self.culprits if name in self.ranked]
        return {
            "case": self.case,
            "culprits": list(self.culprits),
            "top": self.ranked[:_TOP],
            "culprit_rank": min(ranks, default=None),
            "calibration": {name: phase.calibration for name, phase in self.phases.items()},
            "state": self.state,
            "seconds": round(seconds, 1),
        }
