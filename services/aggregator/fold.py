"""The panes of large windows are folded, so that memory does not grow with examples."""

import asyncio
from dataclasses import dataclass

from services.aggregator.domain.fold import fold
from services.aggregator.domain.window import Window
from services.aggregator.ports import FoldStore

_BLOCKS_AT_ONCE = 32


@dataclass(frozen=True)
class Fold:
    """Folds what has come to the windows past a size, some blocks at a time.

    A crash leaves the panes as they were. Which blocks were folded is in the store: of two replicas
    at it, one is told to let it be.
    """

    store: FoldStore
    most_examples: int
    """A window with more is folded; 0: none is."""

    async def __call__(self, model: str) -> None:
        """Fold the model's large windows."""
        if not self.most_examples:
            return
        for window in await self.store.larger_than(model, self.most_examples):
            while await self._folded(window):
                pass

    async def _folded(self, window: Window) -> bool:
        """Fold some blocks; False if there are too few left."""
        unfolded = await self.store.unfolded(window, _BLOCKS_AT_ONCE)
        if unfolded is None:
            return False
        folded = await asyncio.to_thread(fold, unfolded.panes)
        return await self.store.replace(window, unfolded, folded)
