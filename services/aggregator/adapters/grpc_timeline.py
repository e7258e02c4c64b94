"""The timeline over gRPC."""

from dataclasses import dataclass
from typing import Any

import grpc

from aftershock.v1 import lineage_service_pb2 as pb
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceServicer
from services.aggregator.adapters.incoming_times import moment_of
from services.aggregator.adapters.timeline_messages import event_message, event_of, kind_of
from services.aggregator.domain.lineage.nodes import parse_node
from services.aggregator.lineage_ports import EventQuery
from services.aggregator.list_events import ListEvents
from services.aggregator.record_event import RecordEvent

_PAGE_SIZE = 100
_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class TimelineMethods(LineageServiceServicer):
    """Answers LineageService's calls about events."""

    record_event: RecordEvent
    list_events: ListEvents

    async def RecordEvent(  # noqa: N802 - the contract's name
        self, request: pb.RecordEventRequest, _: _Context
    ) -> pb.RecordEventResponse:
        """Record one event."""
        is_new = await self.record_event(event_of(request.event, "event"))
        return pb.RecordEventResponse(duplicate=not is_new)

    async def ListEvents(  # noqa: N802 - the contract's name
        self, request: pb.ListEventsRequest, _: _Context
    ) -> pb.ListEventsResponse:
        """Page through events."""
        size = request.page_size or _PAGE_SIZE
        events, token = await self.list_events(
            _query(request), request.depth, size, request.page_token
        )
        return pb.ListEventsResponse(
            events=[
                pb.ListedEvent(event=event_message(found.event), distance=found.distance)
                for found in events
            ],
            next_page_token=token,
        )


def _query(request: pb.ListEventsRequest) -> EventQuery:
    nodes = [parse_node(node, f"nodes[{number}]") for number, node in enumerate(request.nodes)]
    return EventQuery(
        nodes=nodes or None,
        start=moment_of(request.start_time, "start_time")
        if request.HasField("start_time")
        else None,
        end=moment_of(request.end_time, "end_time") if request.HasField("end_time") else None,
        kinds=[kind_of(kind) for kind in request.kinds if kind],
    )
