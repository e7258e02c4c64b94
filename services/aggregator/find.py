"""A window is found by its resource name."""

from dataclasses import dataclass

from services.aggregator.domain.latest import LATEST
from services.aggregator.domain.window import Window, parse_window_name
from services.aggregator.follow import Follow
from services.aggregator.ports import WindowReader


@dataclass(frozen=True)
class Find:
    """Looks a window up: one of event time, or its model's latest."""

    windows: WindowReader
    follow: Follow

    async def __call__(self, name: str) -> Window:
        """Return the window.

        Raises:
            WindowNotFound: nothing is kept of it, or it is not the name of a window.
            CorruptValue: it is the latest, and none of its panes is intact.
        """
        model, _, identifier = name.removeprefix("models/").partition("/windows/")
        if identifier == LATEST:
            return await self.follow(model)
        return await self.windows.window(*parse_window_name(name))
