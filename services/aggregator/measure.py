"""The importances of a window, whether it is closed or still takes examples."""

import asyncio
from dataclasses import dataclass

from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.latest import LatestWindow
from services.aggregator.domain.summary import Summary, summarise
from services.aggregator.domain.window import Window
from services.aggregator.ports import WindowReader


@dataclass(frozen=True)
class Measure:
    """Reads a window's summary, or makes one of its live panes."""

    windows: WindowReader
    resamples: int
    """Of the bootstrap."""

    async def __call__(self, window: Window) -> Summary:
        """Return the window's summary. An open window's changes with the next block.

        Raises:
            CorruptValue: the stored summary does not match its checksum, or no pane does.
        """
        if isinstance(window, LatestWindow):
            return await asyncio.to_thread(window.in_full)
        summary = await self.whatever_is_intact(window)
        if window.example_count and not summary.example_count:
            raise CorruptValue(f"every pane of {window.name}")
        return summary

    async def whatever_is_intact(self, window: Window) -> Summary:
        """Return the window's summary without the panes that are corrupt."""
        summary = await self.windows.summary(window)
        if summary is not None:
            return summary
        panes = await self.windows.panes(window)
        # If another replica has closed it since, it may have taken the panes from under us.
        summary = await self.windows.summary(window)
        if summary is not None:
            return summary
        feature_count = panes[0].feature_count if panes else 0
        return await asyncio.to_thread(summarise, panes, feature_count, window.name, self.resamples)
