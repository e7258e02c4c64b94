"""Folding the panes of large windows in this process's memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.aggregator.adapters.memory_records import MemoryRecords
from services.aggregator.domain.block import Pane
from services.aggregator.domain.window import Window, WindowState
from services.aggregator.ports import Unfolded


@dataclass(frozen=True)
class MemoryFolds:
    """Implements FoldStore."""

    records: MemoryRecords

    async def larger_than(self, model: str, examples: int) -> Sequence[Window]:
        """Return the model's windows without a summary that hold more examples."""
        record = self.records.models.get(model)
        windows = [self.records.view(model, start) for start in (record.windows if record else ())]
        return [
            window
            for window in sorted(windows, key=lambda each: each.interval.start)
            if window.state is WindowState.OPEN and window.example_count > examples
        ]

    async def unfolded(self, window: Window, count: int) -> Unfolded | None:
        """Return `count` blocks of the window."""
        record = self.records.known(window.model, window.interval.start)
        if record is None or len(record.panes) < count:
            return None
        chosen = sorted(record.panes)[:count]
        panes = [*record.folds, *(record.panes[block] for block in chosen)]
        return Unfolded(chosen, panes, record.folded_count)

    async def replace(self, window: Window, unfolded: Unfolded, folded: Sequence[Pane]) -> bool:
        """Put the folded panes in the place of others."""
        record = self.records.known(window.model, window.interval.start)
        if record is None or record.summary or record.folded_count != unfolded.folded_count:
            return False
        record.folds = list(folded)
        record.folded_count += len(unfolded.blocks)
        for block in unfolded.blocks:
            del record.panes[block]
        return True
