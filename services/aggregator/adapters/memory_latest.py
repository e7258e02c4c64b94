"""The latest window in this process's memory: all panes that came, and which of them it holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.aggregator.adapters.memory_records import MemoryRecords, ModelRecord, PaneRecord
from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.latest import (
    LatestPanes,
    LatestRules,
    PaneEntry,
    fewest_latest,
    in_order,
)

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class MemoryLatest:
    """Implements LatestReader."""

    records: MemoryRecords
    rules: LatestRules

    async def latest(self, model: str) -> LatestPanes | None:
        """Return what the model's latest window holds, None if nothing."""
        record = self.records.models.get(model)
        if record is None or not record.entered or not self.rules.examples:
            return None
        since = _since(record.entered)
        entries: list[PaneEntry] = []
        for population in Population:
            theirs = [
                each.entry
                for each in record.entered
                if each.pane.population is population and each.entry.event_time > since
            ]
            entries += fewest_latest(theirs, self.rules.examples_each)
        return LatestPanes(
            record.step,
            *_newest(record.entered).scored,
            entries=in_order(entries),
            restart_time=None if since == _NEVER else since,
        )

    async def latest_panes(self, model: str, entries: Sequence[PaneEntry]) -> Sequence[Pane | None]:
        """Return these panes in their order."""
        panes = {each.entry: each.pane for each in self.records.models[model].entered}
        return [panes[entry] for entry in entries]


def slide(record: ModelRecord, pane: PaneRecord, rules: LatestRules) -> None:
    """Have a pane wait for the next step, and make the step if it is due."""
    known = [*record.entered, *record.waiting]
    restarts = not known or _newest([*known, pane]).scored != _newest(known).scored
    if not restarts and pane.scored != _newest(known).scored:
        if pane.entry.event_time > _since(known):
            record.step += 1
        record.entered.append(pane)
    elif restarts or pane.entry.event_time > _since(known):
        record.waiting.append(pane)
        waiting = sum(each.entry.example_count for each in record.waiting)
        if restarts or waiting >= rules.step_examples:
            record.entered += record.waiting
            record.waiting.clear()
            record.step += 1


def _newest(panes: Sequence[PaneRecord]) -> PaneRecord:
    return max(panes, key=lambda each: each.entry.order)


def _since(panes: Sequence[PaneRecord]) -> datetime:
    """Return the time of the newest pane by another checkpoint or method than the newest one's."""
    scored = _newest(panes).scored
    others = (each.entry.event_time for each in panes if each.scored != scored)
    return max(others, default=_NEVER)
