"""A pipeline says how many events were expected and how many came."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.aggregator.domain.outcomes import OutcomeReport
from services.aggregator.domain.window import Window, WindowRules
from services.aggregator.ports import Intake, WindowReader


@dataclass(frozen=True)
class Reported:
    """What became of a report."""

    window: Window
    """With the calibration of all reports so far."""
    duplicate: bool
    """Reported before; it counts once."""


@dataclass(frozen=True)
class ReportOutcomes:
    """Adds counts to the window that their stretch of event time lies in, once."""

    intake: Intake
    windows: WindowReader
    rules: WindowRules
    clock: Callable[[], datetime]
    on_work: Callable[[str], None]
    """Told the model when a report leaves a window to close or to evaluate."""

    async def __call__(self, report: OutcomeReport) -> Reported:
        """Add the counts of the report.

        Raises:
            InvalidOutcomes: the stretch spans several windows.
            AheadOfTime: it ends in the future.
            ModelNotFound: no checkpoint of the model is registered.
            WindowNotFound: the window lies behind the retention.
        """
        self.rules.check_not_ahead(report.interval.end, self.clock(), "end_time")
        window = self.rules.covering(report.interval)
        stored = await self.intake.report(report, window)
        if stored.has_work:
            self.on_work(report.model)
        return Reported(await self.windows.window(report.model, window.start), stored.duplicate)
