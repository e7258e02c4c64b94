"""A closed window with known outcomes is judged, and what shifted is told, once."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from services.aggregator.compare import Compare
from services.aggregator.domain.calibration import Confirmation
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.errors import AggregatorError
from services.aggregator.domain.shift import Comparison, ShiftEvent
from services.aggregator.domain.window import Window
from services.aggregator.ports import ShiftPublisher, WindowReader

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detect:
    """Publishes one event a window, with ranked shifts when its calibration is anomalous."""

    windows: WindowReader
    compare: Compare
    publisher: ShiftPublisher
    selection: ControlSelection
    confirmation: Confirmation
    top_k: int
    clock: Callable[[], datetime]

    async def __call__(self, model: str, start: datetime) -> bool:
        """Judge the window that starts then; False if that was done before.

        Raises:
            WindowNotFound: nothing is kept of it.
        """
        window = await self._confirmed(await self.windows.window(model, start))
        comparison = await self._explain(window) if window.is_anomalous else None
        return await self.publisher.publish(ShiftEvent(window, comparison, self.clock()))

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
            # The anomaly itself is still worth telling.
            _log.warning("no comparison", extra={"window": window.name, "why": str(error)})
            return None
