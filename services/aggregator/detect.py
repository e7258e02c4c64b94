"""A closed window with known outcomes is judged, and what shifted is told, once."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from services.aggregator.compare import Compare
from services.aggregator.domain.alarm import FEWEST_CHANGES, EvidenceAlarm
from services.aggregator.domain.calibration import Confirmation
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.errors import AggregatorError
from services.aggregator.domain.shift import AlertReason, Comparison, ShiftEvent
from services.aggregator.domain.window import Window
from services.aggregator.ports import ShiftPublisher, WindowReader

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detect:
    """Publishes one event a window, with ranked shifts when there is an alert.

    Calibration comes first. Where it is healthy, evidence alone raises an alert if clean windows
    hardly ever show as much.
    """

    windows: WindowReader
    compare: Compare
    publisher: ShiftPublisher
    selection: ControlSelection
    confirmation: Confirmation
    alarm: EvidenceAlarm
    top_k: int
    clock: Callable[[], datetime]

    async def __call__(self, model: str, start: datetime) -> bool:
        """Judge the window that starts then; False if that was done before.

        Raises:
            WindowNotFound: nothing is kept of it.
        """
        window = await self._confirmed(await self.windows.window(model, start))
        reason, comparison = await self._alert(window)
        event = ShiftEvent(window, comparison, self.clock(), reason)
        return await self.publisher.publish(event)

    async def _alert(self, window: Window) -> tuple[AlertReason | None, Comparison | None]:
        if window.is_anomalous:
            return AlertReason.CALIBRATION, await self._explain(window)
        if self.alarm.is_on and await self._has_past(window):
            comparison = await self._explain(window)
            if comparison is not None and self.alarm(comparison):
                return AlertReason.EVIDENCE, comparison
        return None, None

    async def _has_past(self, window: Window) -> bool:
        """Return whether it is worth the while to compare a healthy window."""
        before = await self.windows.windows(window.model, window.interval.start, FEWEST_CHANGES)
        return len(before) == FEWEST_CHANGES

    async def _confirmed(self, window: Window) -> Window:
        """Return the window, healthy if the windows before it do not bear its anomaly out."""
        calibration, count = window.calibration, self.confirmation.windows
        if calibration is None or not calibration.anomalous or count == 1:
            return window
        start, end = window.interval.start, window.interval.end
        before = await self.windows.windows(window.model, start, count - 1)
        earlier = [
            other.calibration
            for other in before
            if other.interval.start >= start - (count - 1) * (end - start)
            and other.is_comparable(window)
            and other.calibration is not None
        ]
        if self.confirmation(calibration, earlier):
            return window
        return replace(window, calibration=replace(calibration, anomalous=False))

    async def _explain(self, window: Window) -> Comparison | None:
        try:
            return await self.compare(window, self.selection, self.top_k)
        except AggregatorError as error:
            # An anomaly itself is still worth telling; a healthy window has nothing to tell.
            level = logging.WARNING if window.is_anomalous else logging.DEBUG
            _log.log(level, "no comparison", extra={"window": window.name, "why": str(error)})
            return None
