"""Windows of event time: their names, when they close, and what is known of one."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from services.aggregator.domain.block import Method
from services.aggregator.domain.calibration import Calibration
from services.aggregator.domain.errors import AheadOfTime, InvalidOutcomes, WindowNotFound

_ID = "%Y%m%dT%H%M%SZ"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WindowState(Enum):
    """Whether a window still takes examples."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


@dataclass(frozen=True)
class Interval:
    """A stretch of event time; the end is exclusive."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class WindowRules:
    """How event time is cut into windows, and when a window no longer takes examples."""

    length: timedelta
    allowed_lateness: timedelta
    retention: timedelta
    """How far behind the watermark a window is kept."""
    furthest_ahead: timedelta
    """How far ahead of the clock an event time may lie."""

    def containing(self, time: datetime) -> Interval:
        """Return the window that `time` falls into. Windows are aligned to the epoch."""
        start = time - (time - _EPOCH) % self.length
        return Interval(start, start + self.length)

    def covering(self, stretch: Interval) -> Interval:
        """Return the window that holds the whole stretch.

        Raises:
            InvalidOutcomes: it spans several windows, or is empty.
        """
        window = self.containing(stretch.start)
        if not stretch.start < stretch.end <= window.end:
            raise InvalidOutcomes(
                f"{stretch.start.isoformat()} to {stretch.end.isoformat()} does not lie within one "
                f"window of {self.length}, such as {window.start.isoformat()} to "
                f"{window.end.isoformat()}: report each window apart",
                field="end_time",
            )
        return window

    def check_not_ahead(self, time: datetime, now: datetime, field: str) -> None:
        """Refuse a time that would close windows which have yet to happen.

        Raises:
            AheadOfTime: it lies too far ahead of the clock.
        """
        if time - self.furthest_ahead > now:
            raise AheadOfTime(
                f"{time.isoformat()} lies more than {self.furthest_ahead} ahead of the clock: "
                "check the sender's time",
                field=field,
            )

    def of(self, own: "ModelRules") -> "WindowRules":
        """Return the rules of a model that has some of its own."""
        return replace(
            self,
            allowed_lateness=_either(own.allowed_lateness, self.allowed_lateness),
            retention=_either(own.retention, self.retention),
        )

    def is_past(self, end: datetime, watermark: datetime | None) -> bool:
        """Whether event time has passed a window that ends at `end`."""
        return watermark is not None and watermark >= end + self.allowed_lateness


@dataclass(frozen=True)
class ModelRules:
    """What a model has instead of everybody's rules; None: theirs."""

    allowed_lateness: timedelta | None = None
    retention: timedelta | None = None


@dataclass(frozen=True)
class Window:
    """What is known of a set of examples of one model by event time."""

    model: str
    interval: Interval
    state: WindowState
    digest: str
    """Of the checkpoint that scored all its examples; empty before the first."""
    method: Method | None
    considered_count: int
    displayed_count: int
    calibration: Calibration | None

    @property
    def name(self) -> str:
        """Resource name."""
        return window_name(self.model, self.interval.start)

    @property
    def place(self) -> Interval:
        """Where it stands among the windows of event time."""
        return self.interval

    @property
    def example_count(self) -> int:
        """Examples of both populations."""
        return self.considered_count + self.displayed_count

    @property
    def is_anomalous(self) -> bool:
        """Whether its calibration is known and anomalous."""
        return self.calibration is not None and self.calibration.anomalous

    @property
    def is_healthy(self) -> bool:
        """Whether its calibration is known and not anomalous."""
        return self.calibration is not None and not self.calibration.anomalous

    def is_comparable(self, other: "Window") -> bool:
        """Whether one checkpoint scored both by one method."""
        return (self.digest, self.method) == (other.digest, other.method)


@dataclass(frozen=True)
class ModelState:
    """What is known of a model as a whole."""

    model: str
    digest: str
    """Of the checkpoint that was registered last."""
    watermark: datetime | None
    """The latest time that its pipeline has spoken of."""
    latest_event_time: datetime | None
    block_count: int
    duplicate_count: int
    refused_count: int
    rules: ModelRules
    """Its own."""


def window_id(start: datetime) -> str:
    """Return the id of the window that starts then."""
    # Not strftime, which leaves early years unpadded.
    return start.isoformat(timespec="seconds").replace("-", "").replace(":", "")[:15] + "Z"


def window_name(model: str, start: datetime) -> str:
    """Return the resource name of the window that starts then."""
    return f"models/{model}/windows/{window_id(start)}"


def parse_window_id(identifier: str) -> datetime:
    """Return the start of the window with that id.

    Raises:
        ValueError: it is not the id of a window.
    """
    return datetime.strptime(identifier, _ID).replace(tzinfo=UTC)


def parse_window_name(name: str) -> tuple[str, datetime]:
    """Return model and start of the window with that resource name.

    Raises:
        WindowNotFound: it is not the name of a window.
    """
    model, _, identifier = name.removeprefix("models/").partition("/windows/")
    try:
        return model, parse_window_id(identifier)
    except ValueError as error:
        raise WindowNotFound(name) from error


def _either(own: timedelta | None, theirs: timedelta) -> timedelta:
    return theirs if own is None else own
