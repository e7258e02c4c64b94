"""The importances of a window, whether it is closed or still takes examples."""

import asyncio
from dataclasses import dataclass

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
            CorruptValue: the stored summary does not match its checksum.
        """
        summary = await self.windows.summary(window)
        if summary is not None:
            return summary
        panes = await self.windows.panes(window)
        # Another replica may have closed it and let the panes go since we looked.
        summary = None if panes else await self.windows.summary(window)
        if summary is not None:
            return summary
        feature_count = panes[0].feature_count if panes else 0
        return await asyncio.to_thread(summarise, panes, feature_count, window.name, self.resamples)
