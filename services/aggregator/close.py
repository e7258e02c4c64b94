"""A window that event time has passed becomes a summary."""

from dataclasses import dataclass
from datetime import datetime

from services.aggregator.measure import Measure
from services.aggregator.ports import WindowKeeper, WindowReader


@dataclass(frozen=True)
class Close:
    """Summarises a window and lets its panes go.

    Its blocks are final and the summary is a function of them, so a repetition, a crash halfway or
    a second replica changes nothing. Corrupt panes are left out: history has to go on.
    """

    windows: WindowReader
    keeper: WindowKeeper
    measure: Measure

    async def __call__(self, model: str, start: datetime) -> bool:
        """Close the window that starts then; False if it was closed before.

        Raises:
            WindowNotFound: nothing is kept of it.
        """
        window = await self.windows.window(model, start)
        return await self.keeper.close(window, await self.measure.whatever_is_intact(window))
