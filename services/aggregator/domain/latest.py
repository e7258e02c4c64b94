"""The latest window: a model's latest examples by count, which a pane enters at each step.

It holds, of each population, the fewest latest blocks that have half of its examples together, by
event time; those of the same time stand in the order of what they are called. So what it holds does
not depend on the order in which blocks came: one that comes late takes its place, or none if newer
ones fill the window. One checkpoint scores the whole window, by one method: those of its newest
block. It begins anew after the newest block of any other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.aggregator.domain.block import Method, Pane
from services.aggregator.domain.profile import profile_of
from services.aggregator.domain.quantiles import signed_quantiles
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import Interval, Window

LATEST = "latest"
"""Its id among its model's windows."""


@dataclass(frozen=True)
class LatestRules:
    """How large the latest window is, and how often it moves on."""

    examples: int
    """It holds at least so many, half of them of each population, once so many have come; 0: there
    is none."""
    step_examples: int
    """Blocks wait until they have so many together; then they enter, and the oldest leave."""

    @property
    def examples_each(self) -> int:
        """Of each population."""
        return (self.examples + 1) // 2


@dataclass(frozen=True)
class PaneEntry:
    """A pane's place in the latest window."""

    event_time: datetime
    name: str
    """Of its window and its block."""
    example_count: int

    @property
    def order(self) -> tuple[datetime, str]:
        """Entries are sorted by it."""
        return self.event_time, f"{self.example_count}:{self.name}"


@dataclass(frozen=True)
class LatestPanes:
    """What the latest window holds at one step; it is the same for whoever asks."""

    step: int
    """Counts the window's changes."""
    digest: str
    method: Method
    entries: Sequence[PaneEntry]
    """Oldest first."""
    restart_time: datetime | None
    """Event time of the newest block by another checkpoint or method, None if there was none."""


@dataclass(frozen=True)
class LatestWindow(Window):
    """The latest window with its panes and its importances, all of the same step."""

    panes: Sequence[Pane]
    summary: Summary
    """Without quantiles and profile, which few ask for."""
    oldest: Interval
    """The window of event time that its oldest example lies in."""
    restart_time: datetime | None
    """See LatestPanes."""

    @property
    def name(self) -> str:
        """Resource name."""
        return f"models/{self.model}/windows/{LATEST}"

    def in_full(self) -> Summary:
        """Return the summary with quantiles and profile."""
        return replace(
            self.summary,
            quantiles=signed_quantiles(self.panes, self.panes[0].feature_count),
            profile=profile_of(self.panes),
        )

    @property
    def place(self) -> Interval:
        """Among the windows of event time it stands where it begins: none before has its data."""
        return self.oldest


def in_order(entries: Iterable[PaneEntry]) -> list[PaneEntry]:
    """Return the entries oldest first."""
    return sorted(entries, key=lambda entry: entry.order)


def fewest_latest(entries: Iterable[PaneEntry], examples: int) -> list[PaneEntry]:
    """Return the fewest latest entries that have so many examples, all if they have fewer."""
    chosen: list[PaneEntry] = []
    for entry in reversed(in_order(entries)):
        if examples <= 0:
            break
        chosen.append(entry)
        examples -= entry.example_count
    return chosen[::-1]
