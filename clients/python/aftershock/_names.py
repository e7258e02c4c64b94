"""What people type and what they hold, as resource names and times of the contract."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock._errors import ConfigurationError
from aftershock.v1.lineage_pb2 import EventKind
from aftershock.v1.shift_pb2 import ControlSelection, RankBy
from aftershock.v1.window_pb2 import Window

Interval = tuple[datetime, datetime] | Window
"""A stretch of event time: start and exclusive end, or a window."""

CONTROLS = {
    "same-hour-previous-day": ControlSelection.CONTROL_SELECTION_SAME_HOUR_PREVIOUS_DAY,
    "same-hour-previous-week": ControlSelection.CONTROL_SELECTION_SAME_HOUR_PREVIOUS_WEEK,
    "previous-hour": ControlSelection.CONTROL_SELECTION_PREVIOUS_HOUR,
}
"""Ways to choose a control window, by the names that people use."""

ORDERS = {
    "evidence": RankBy.RANK_BY_EVIDENCE,
    "gfi-shift": RankBy.RANK_BY_GFI_SHIFT,
    "mfc-shift": RankBy.RANK_BY_MFC_SHIFT,
    "lfi-distance": RankBy.RANK_BY_LFI_DISTANCE,
    "coverage-change": RankBy.RANK_BY_COVERAGE_CHANGE,
    "value-distance": RankBy.RANK_BY_VALUE_DISTANCE,
}
"""What features can be ranked by, by the names that people use."""

EVENTS = {
    "deploy": EventKind.EVENT_KIND_DEPLOY,
    "pipeline-run": EventKind.EVENT_KIND_PIPELINE_RUN,
    "failed-run": EventKind.EVENT_KIND_FAILED_RUN,
    "schema-change": EventKind.EVENT_KIND_SCHEMA_CHANGE,
    "checkpoint-publish": EventKind.EVENT_KIND_CHECKPOINT_PUBLISH,
    "flag-flip": EventKind.EVENT_KIND_FLAG_FLIP,
    "incident": EventKind.EVENT_KIND_INCIDENT,
    "lifecycle-change": EventKind.EVENT_KIND_LIFECYCLE_CHANGE,
    "rollback": EventKind.EVENT_KIND_ROLLBACK,
    "audit-finding": EventKind.EVENT_KIND_AUDIT_FINDING,
    "row-action": EventKind.EVENT_KIND_ROW_ACTION,
    "audit": EventKind.EVENT_KIND_AUDIT,
}
"""What can happen to a node, by the names that people use."""


def model_name(model: str | None) -> str:
    """Return `models/{model}` of a model's id or name.

    Raises:
        ConfigurationError: None was given.
    """
    if not model:
        raise ConfigurationError("which model? Pass model='...' to the client or to the call")
    return model if model.startswith("models/") else f"models/{model}"


def window_name(window: Window | str, model: str | None = None) -> str:
    """Return `models/{model}/windows/{window}` of a window, its name, or its id and the model's."""
    if isinstance(window, Window):
        return window.name
    return window if "/" in window else f"{model_name(model)}/windows/{window}"


def rank_by_of(order: str | None) -> RankBy.ValueType:
    """Return what is to be ranked by, unspecified for None.

    Raises:
        ValueError: there is no such order.
    """
    if order is None:
        return RankBy.RANK_BY_UNSPECIFIED
    if order not in ORDERS:
        raise ValueError(f"rank_by={order!r}: choose one of {', '.join(ORDERS)}")
    return ORDERS[order]


def event_kind_of(kind: str) -> EventKind.ValueType:
    """Return what happened.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in EVENTS:
        raise ValueError(f"kind={kind!r}: choose one of {', '.join(EVENTS)}")
    return EVENTS[kind]


def incident_name(incident: str) -> str:
    """Return `incidents/{incident}` of an incident's id or name."""
    return incident if incident.startswith("incidents/") else f"incidents/{incident}"


def short(name: str) -> str:
    """Return the last segment of a resource name."""
    return name.rpartition("/")[2]


def timestamp(moment: datetime, argument: str) -> Timestamp:
    """Return a time that has a zone as a Timestamp.

    Raises:
        ValueError: the time has no zone, so that nobody knows when it was.
    """
    if moment.tzinfo is None:
        raise ValueError(
            f"{argument}={moment!r} has no time zone: build it with one, such as "
            "datetime(2026, 11, 20, 2, tzinfo=UTC)"
        )
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def interval(
    start: datetime | None, end: datetime | None, window: Interval | None
) -> tuple[Timestamp, Timestamp]:
    """Return start and exclusive end, given either both or a window.

    Raises:
        ValueError: neither or both ways were taken, or a time has no zone.
    """
    if isinstance(window, Window):
        window_start, window_end = window.start_time, window.end_time
        if start is None and end is None:
            return window_start, window_end
    elif window is not None and start is None and end is None:
        return timestamp(window[0], "window[0]"), timestamp(window[1], "window[1]")
    elif window is None and start is not None and end is not None:
        return timestamp(start, "start"), timestamp(end, "end")
    raise ValueError("say when: pass start and end, or window=(start, end), and not both")
