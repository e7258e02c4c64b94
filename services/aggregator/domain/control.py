"""Which earlier window a broken one is held against."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from services.aggregator.domain.errors import NoControl
from services.aggregator.domain.window import Window, WindowState, window_name

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_WEEK_OF_DAYS = range(2, 8)


class ControlSelection(Enum):
    """Which window is asked for. An hour stands for one window's length."""

    SAME_HOUR_PREVIOUS_DAY = "SAME_HOUR_PREVIOUS_DAY"
    PREVIOUS_HOUR = "PREVIOUS_HOUR"
    SAME_HOUR_PREVIOUS_WEEK = "SAME_HOUR_PREVIOUS_WEEK"


@dataclass(frozen=True)
class Control:
    """The window that was chosen."""

    window: Window
    selection: ControlSelection | None
    """What was asked for; None when the window itself was."""
    note: str
    """Why another was taken; empty when it is the one asked for."""


def choose_control(
    anomaly: Window, earlier: Sequence[Window], selection: ControlSelection, fewest_examples: int
) -> Control:
    """Return the first usable candidate among the `earlier` windows.

    Candidates are the window asked for, then the same hour of the previous day and the previous
    hour, then the same hour of the days before, then all from the newest on. Usable is a closed
    window with enough examples that the same checkpoint scored by the same method, and whose
    calibration is not known to be anomalous.

    Raises:
        NoControl: none is usable.
    """
    by_start = {window.interval.start: window for window in earlier}
    refusals: list[str] = []
    for start in _candidates(anomaly, earlier, selection):
        window = by_start.get(start)
        refusal = _refusal(window, anomaly, fewest_examples)
        if window is not None and refusal is None:
            return Control(window, selection, _note(anomaly, window, refusals))
        refusals.append(f"{window_name(anomaly.model, start)} {refusal}")
    raise NoControl(
        f"{anomaly.name} has no control: no earlier window of its checkpoint is closed, healthy "
        f"and of {fewest_examples} examples or more"
    )


def _candidates(
    anomaly: Window, earlier: Sequence[Window], selection: ControlSelection
) -> Iterator[datetime]:
    start, length = anomaly.place.start, anomaly.place.end - anomaly.place.start
    firsts = [start - _DAY, start - length]
    if selection is ControlSelection.PREVIOUS_HOUR:
        firsts.reverse()
    if selection is ControlSelection.SAME_HOUR_PREVIOUS_WEEK:
        yield start - _WEEK
    yield from firsts
    yield from (start - days * _DAY for days in _WEEK_OF_DAYS)
    yield from sorted((w.interval.start for w in earlier if w.interval.start < start), reverse=True)


def _refusal(window: Window | None, anomaly: Window, fewest_examples: int) -> str | None:
    """Return why the window cannot serve, None if it can."""
    if window is None:
        return "is not there"
    if window.state is not WindowState.CLOSED:
        return "is still open"
    if window.example_count < fewest_examples:
        return f"has {window.example_count} examples, fewer than {fewest_examples}"
    if not window.is_comparable(anomaly):
        return "was scored by another checkpoint or method"
    if window.is_anomalous:
        return "is itself anomalous"
    return None


def _note(anomaly: Window, chosen: Window, refusals: Sequence[str]) -> str:
    if not refusals:
        return ""
    return f"{refusals[0]}: compared {anomaly.name} with {chosen.name} instead"
