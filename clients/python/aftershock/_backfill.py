"""History goes through attribution into windows: oldest first, each example once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property

from aftershock._client import Client
from aftershock._errors import ConfigurationError, NotFound
from aftershock._history import History, Progress, Stretch
from aftershock._log import LogStats, sum_of
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.window_pb2 import Window, WindowState


class Fate(StrEnum):
    """What becomes of a window of the file."""

    TO_SEND = "sent"
    DONE = "done before"
    SHORT = "closed with fewer examples than the file has"
    LATE = "closed before it had any"
    SEEN_IN_TRAINING = "before the checkpoint's trained_until"


@dataclass(frozen=True)
class Plan:
    """The windows of a file, oldest first, and what becomes of each."""

    stretches: Sequence[Stretch]
    decided: Sequence[Fate]

    @property
    def to_send(self) -> Sequence[Stretch]:
        """Those that are not closed."""
        pairs = zip(self.stretches, self.decided, strict=True)
        return [stretch for stretch, fate in pairs if fate is Fate.TO_SEND]

    @property
    def fates(self) -> Mapping[str, int]:
        """How many windows share a fate, by its words."""
        return Counter(str(fate) for fate in self.decided)

    @property
    def is_incomplete(self) -> bool:
        """Whether examples will be missing that ought to be there."""
        return bool({Fate.SHORT, Fate.LATE}.intersection(self.decided))


@dataclass(frozen=True)
class Backfill:
    """Sends a file's windows of one model; its checkpoint is the newest that is loaded.

    Whatever is interrupted may be started again: windows that are closed are left alone, and what
    of the others was stored before counts once, since the ids of batches are the file's.
    """

    client: Client
    history: History
    checkpoint: Checkpoint

    @cached_property
    def _model(self) -> str:
        return self.checkpoint.name.partition("/checkpoints/")[0]

    def plan(self, progress: Progress) -> Plan:
        """Return what becomes of each window, by what the aggregator knows of it.

        Raises:
            ConfigurationError: the aggregator's windows are of another length.
            InvalidExamples: a time or a population is missing or unknown.
        """
        known = {_utc(w.start_time.ToDatetime()): w for w in self._windows()}
        closed = [start for start, window in known.items() if _is_closed(window)]
        newest_closed = max(closed, default=datetime.min.replace(tzinfo=UTC))
        trained_until = _utc(self.checkpoint.trained_until.ToDatetime())

        def fate(stretch: Stretch) -> Fate:
            window = known.get(stretch.start)
            if stretch.start < trained_until:
                return Fate.SEEN_IN_TRAINING
            if window is not None and _is_closed(window):
                return Fate.DONE if _has_all(window, stretch) else Fate.SHORT
            if window is None and stretch.start <= newest_closed:
                return Fate.LATE
            return Fate.TO_SEND

        stretches = self.history.stretches(progress)
        return Plan(stretches, [fate(stretch) for stretch in stretches])

    def send(self, stretches: Sequence[Stretch], digest: str) -> Iterator[LogStats]:
        """Send windows, oldest first; yield what became of each one's examples.

        Raises:
            ConfigurationError: the aggregator's windows are of another length.
            ServiceError: the examples do not fit the checkpoint, or nothing answers any more.
        """
        for number, stretch in enumerate(stretches):
            stats = self._send(stretch, digest)
            self._report(stretch, digest)
            if number == 0:
                self._windows()
            yield stats

    def _send(self, stretch: Stretch, digest: str) -> LogStats:
        # A log for each window: a later window's examples would close one that is still under way.
        with ExitStack() as stack:
            logs = {
                population: stack.enter_context(
                    self.client.examples(population=population, on_full="wait")
                )
                for population, count in stretch.counts.items()
                if count
            }
            for batch in self.history.batches(stretch, digest):
                logs[batch.population].send(
                    batch.examples, event_time=batch.event_time, batch_id=batch.batch_id
                )
        return sum_of([log.stats for log in logs.values()])

    def _report(self, stretch: Stretch, digest: str) -> None:
        outcomes = self.history.outcomes(stretch)
        if outcomes is not None:
            self.client.outcomes(
                start=stretch.start,
                end=stretch.start + self.history.window,
                expected=outcomes.expected,
                observed=outcomes.observed,
                request_id=f"{digest[:32]}/{stretch.start:%Y%m%dT%H%M%SZ}",
            )

    def _windows(self) -> list[Window]:
        try:
            windows = self.client.windows(self._model)
        except NotFound:
            return []
        for window in windows:
            length = window.end_time.ToDatetime() - window.start_time.ToDatetime()
            if length != self.history.window:
                raise ConfigurationError(
                    f"the aggregator's windows last {length.total_seconds():g} s: pass "
                    f"--window-seconds {length.total_seconds():g}"
                )
        return windows


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def _is_closed(window: Window) -> bool:
    return window.state == WindowState.WINDOW_STATE_CLOSED


def _has_all(window: Window, stretch: Stretch) -> bool:
    return (
        window.considered_count >= stretch.counts["considered"]
        and window.displayed_count >= stretch.counts["displayed"]
    )
