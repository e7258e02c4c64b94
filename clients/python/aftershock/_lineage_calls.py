"""What is told of lineage and of events, without a channel."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from operator import attrgetter

from aftershock import _methods as methods
from aftershock._calls import PAGE_SIZE, Flow, ask, pages
from aftershock._names import event_kind_of, timestamp
from aftershock.v1.lineage_pb2 import TimelineEvent
from aftershock.v1.lineage_service_pb2 import (
    ListedEvent,
    ListEventsRequest,
    RecordEventRequest,
    RegisterLineageRequest,
)


def register_lineage(request: RegisterLineageRequest) -> Flow[bool]:
    """Register the lineage; False if it was registered before. Without a time, it is so now.

    Without a request id, what is equal and of the same time makes an equal one: it counts once.
    """
    told = RegisterLineageRequest()
    told.CopyFrom(request)
    if not told.HasField("time"):
        told.time.FromDatetime(datetime.now(UTC))
    digest = hashlib.sha256(told.SerializeToString(deterministic=True)).hexdigest()
    told.request_id = request.request_id or digest
    answer = yield from ask(methods.REGISTER_LINEAGE, told)
    return not answer.duplicate


def record_event(
    kind: str,
    node: str,
    summary: str,
    *,
    time: datetime | None,
    actor: str,
    details: Mapping[str, object] | None,
    event_id: str | None,
) -> Flow[bool]:
    """Record an event; False if it was recorded before.

    Without an id, equal arguments make an equal one: it counts once.
    """
    event = TimelineEvent(
        node=node,
        kind=event_kind_of(kind),
        time=timestamp(time or datetime.now(UTC), "time"),
        summary=summary,
        actor=actor,
        details_json=json.dumps(details, sort_keys=True) if details else "",
    )
    digest = hashlib.sha256(event.SerializeToString(deterministic=True)).hexdigest()
    event.event_id = event_id or digest
    answer = yield from ask(methods.RECORD_EVENT, RecordEventRequest(event=event))
    return not answer.duplicate


def list_events(
    nodes: Iterable[str],
    *,
    depth: int,
    start: datetime | None,
    end: datetime | None,
    kinds: Iterable[str],
    limit: int | None,
) -> Flow[list[ListedEvent]]:
    """List events of nodes and of what lies upstream of them, the latest first."""
    request = ListEventsRequest(
        nodes=nodes,
        depth=depth,
        kinds=[event_kind_of(kind) for kind in kinds],
        page_size=PAGE_SIZE,
    )
    if start is not None:
        request.start_time.CopyFrom(timestamp(start, "start"))
    if end is not None:
        request.end_time.CopyFrom(timestamp(end, "end"))
    return (yield from pages(methods.LIST_EVENTS, request, attrgetter("events"), limit))
