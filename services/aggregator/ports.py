"""What the aggregator needs from outside, split by who needs it.

Every method but those that say otherwise can be repeated with the same arguments to the same
effect. All raise the chassis' DependencyUnavailable when the store cannot be reached, and its
Overloaded when it has no room.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.aggregator.domain.block import Block, Pane, Population
from services.aggregator.domain.checkpoint import Checkpoint
from services.aggregator.domain.latest import LatestPanes, PaneEntry
from services.aggregator.domain.outcomes import OutcomeReport
from services.aggregator.domain.shift import ShiftEvent
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import Interval, ModelRules, ModelState, Window


class CheckpointStore(Protocol):
    """Checkpoints by model and digest."""

    async def register(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint and make it the model's latest.

        Raises:
            CheckpointMismatch: the digest is registered with other content.
        """

    async def find(self, model: str, digest: str) -> Checkpoint:
        """Return the checkpoint.

        Raises:
            CheckpointNotFound: it is not registered, or nothing has used it for the retention.
        """


class ModelDirectory(Protocol):
    """What is known of each model, and what it has of its own."""

    async def models(self) -> Sequence[str]:
        """Return the names of all models, sorted."""

    async def model(self, model: str) -> ModelState:
        """Return the state of one.

        Raises:
            ModelNotFound: nothing is known of it.
        """

    async def set_rules(self, model: str, rules: ModelRules) -> None:
        """Give the model rules of its own. They hold for every replica's next step.

        Raises:
            ModelNotFound: nothing is known of it.
        """


@dataclass(frozen=True)
class Stored:
    """What became of a block or a report."""

    duplicate: bool
    """It was stored before, and counts once."""
    has_work: bool
    """The model has a window to close or to evaluate."""


class Intake(Protocol):
    """Where blocks and outcomes go in: each call is one atomic step of its window.

    A window's blocks are final once the model's watermark has passed the window: from then on
    `append` refuses, so whoever reads the panes afterwards reads all of them.
    """

    async def append(self, block: Block, window: Interval) -> Stored:
        """Put a block into its window, once by block id, and advance the watermark.

        Raises:
            CheckpointNotFound: its checkpoint is not registered.
            CheckpointMismatch: the window holds blocks of another checkpoint or method.
            WindowClosed: event time has passed the window; also counted.
        """

    async def report(self, report: OutcomeReport, window: Interval) -> Stored:
        """Add the counts to their window, once by request id, and advance the watermark.

        Raises:
            ModelNotFound: no checkpoint of the model is registered.
            WindowNotFound: the window lies behind the retention.
        """

    async def refuse(self, model: str) -> None:
        """Count a block that was refused before it came here. A repeated call counts twice."""


class WindowReader(Protocol):
    """What is kept of windows."""

    async def window(self, model: str, start: datetime) -> Window:
        """Return one window.

        Raises:
            WindowNotFound: nothing is kept of it.
        """

    async def windows(self, model: str, before: datetime | None, limit: int) -> Sequence[Window]:
        """Return the newest windows that start before `before` (None: all), newest first."""

    async def panes(self, window: Window) -> Sequence[Pane]:
        """Return the panes of a window without a summary; those that are corrupt are left out."""

    async def summary(self, window: Window) -> Summary | None:
        """Return the window's summary, None if it has none yet.

        Raises:
            CorruptValue: the stored summary does not match its checksum.
        """

    async def sample(self, window: Window, populations: Collection[Population]) -> Sequence[bytes]:
        """Return the Arrow streams that were kept of the populations, empty if none are."""


class SummaryReader(Protocol):
    """The summaries of many windows at once."""

    async def marks(self, windows: Sequence[Window]) -> Sequence[bytes | None]:
        """Return what tells each window's summary from any other, None where there is none.

        It costs next to nothing beside the summary itself.
        """

    async def summaries(self, windows: Sequence[Window]) -> Sequence[Summary | None]:
        """Return the windows' summaries in their order, None for what is missing or corrupt."""


class LatestReader(Protocol):
    """What the latest windows hold."""

    async def latest(self, model: str) -> LatestPanes | None:
        """Return what the model's latest window holds, None if nothing."""

    async def latest_panes(self, model: str, entries: Sequence[PaneEntry]) -> Sequence[Pane | None]:
        """Return these panes in their order, None for what has left since or is corrupt."""


@dataclass(frozen=True)
class Work:
    """What is left to do for a model, window starts in order of event time."""

    closable: Sequence[datetime]
    """Event time has passed them and they have no summary."""
    evaluable: Sequence[datetime]
    """Closed, all their outcomes reported, no event published."""
    expired: Sequence[datetime]
    """Behind the retention."""

    def __bool__(self) -> bool:
        return bool(self.closable or self.evaluable or self.expired)


class WindowKeeper(Protocol):
    """Moves windows through their life. Several replicas may try at once: each step happens once.

    The lease only saves them double work; correctness does not rest on it.
    """

    async def work(self, model: str) -> Work:
        """Return what is left to do for the model."""

    async def acquire(self, model: str, lease: timedelta) -> bool:
        """Take or extend the lease on the model's work; False if another replica holds it."""

    async def release(self, model: str) -> None:
        """Give the lease back if it is ours."""

    async def close(self, window: Window, summary: Summary) -> bool:
        """Keep the summary and let the panes go; False if another replica was first."""

    async def forget(self, model: str, start: datetime) -> None:
        """Delete all that is kept of a window."""


@dataclass(frozen=True)
class Unfolded:
    """Some of a window's panes, to be folded into one."""

    blocks: Sequence[str]
    """Their ids."""
    panes: Sequence[Pane]
    """Theirs that are intact, and what was folded before."""
    folded_count: int
    """Blocks that were folded before."""


class FoldStore(Protocol):
    """Where the panes of large windows are put together."""

    async def larger_than(self, model: str, examples: int) -> Sequence[Window]:
        """Return the model's windows without a summary that hold more examples."""

    async def unfolded(self, window: Window, count: int) -> Unfolded | None:
        """Return `count` blocks of the window, None if it has fewer to fold.

        Those that the latest window holds are left to it.
        """

    async def replace(self, window: Window, unfolded: Unfolded, folded: Sequence[Pane]) -> bool:
        """Put the folded panes in the place of others.

        False if the window was closed, or folded by another replica.
        """


class ShiftPublisher(Protocol):
    """The end of a model's stream of events where they go in."""

    async def publish(self, event: ShiftEvent) -> bool:
        """Append the event of a window; False if one was published for it before."""


@dataclass(frozen=True)
class PublishedEvent:
    """An event and its place in its model's stream."""

    cursor: str
    event: ShiftEvent


@dataclass(frozen=True)
class Reading:
    """What a look at some models' streams gave."""

    events: Sequence[PublishedEvent]
    """In order within each model; those that are corrupt are left out."""
    cursors: Mapping[str, str]
    """By model: where to read on."""


OLDEST = "0-0"
"""The cursor before a stream's oldest event."""


class ShiftReader(Protocol):
    """The end of the streams where events come out."""

    async def read(
        self, models: Sequence[str], cursors: Mapping[str, str], wait: timedelta
    ) -> Reading:
        """Return events after each model's cursor (without one: from its oldest kept event on).

        Waits at most `wait` for the first one.

        Raises:
            InvalidPosition: a cursor is not one of this stream's.
        """
