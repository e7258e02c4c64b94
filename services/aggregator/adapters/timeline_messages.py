"""Events of the timeline between the contract and the domain."""

import json

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import lineage_pb2 as pb
from services.aggregator.adapters.incoming_times import moment_of
from services.aggregator.domain.lineage.errors import InvalidFacts
from services.aggregator.domain.lineage.facts import EventKind, TimelineEvent
from services.aggregator.domain.lineage.nodes import parse_node

_PREFIX = "EVENT_KIND_"


def event_of(message: pb.TimelineEvent, path: str) -> TimelineEvent:
    """Return the event of a message that stands at `path` in the request.

    Raises:
        InvalidNode: it happened to nothing that can be a node.
        InvalidFacts: its details are no JSON object.
        InvalidRequest: its time is none.
    """
    if message.details_json and not _is_object(message.details_json):
        raise InvalidFacts("details are a JSON object, or empty", f"{path}.details_json")
    return TimelineEvent(
        event_id=message.event_id,
        node=parse_node(message.node, f"{path}.node"),
        kind=kind_of(message.kind),
        time=moment_of(message.time, f"{path}.time"),
        summary=message.summary,
        actor=message.actor,
        details=message.details_json,
    )


def event_message(event: TimelineEvent) -> pb.TimelineEvent:
    """Return the message of an event."""
    time = Timestamp()
    time.FromDatetime(event.time)
    return pb.TimelineEvent(
        event_id=event.event_id,
        node=str(event.node),
        kind=pb.EventKind.Value(_PREFIX + event.kind.name),
        time=time,
        summary=event.summary,
        actor=event.actor,
        details_json=event.details,
    )


def kind_of(kind: pb.EventKind.ValueType) -> EventKind:
    """Return what an event was."""
    return EventKind[pb.EventKind.Name(kind).removeprefix(_PREFIX)]


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
