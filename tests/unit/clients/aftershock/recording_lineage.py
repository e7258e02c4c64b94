"""A lineage service that keeps what it is told and answers as a test tells it."""

from typing import Any

from aftershock.v1 import lineage_service_pb2 as lineage
from aftershock.v1 import lineage_service_pb2_grpc as lineage_grpc
from tests.unit.clients.aftershock.recording import Recording


class Lineage(lineage_grpc.LineageServiceServicer, Recording):
    """Answers with what a test puts in; what is told twice by its id is a duplicate."""

    RegisterFeatures = RegisterModel = GetLineage = None  # type: ignore[assignment]
    TracePropagation = FindCommonCauses = GetBlastRadius = None  # type: ignore[assignment]
    WatchPropagation = None  # type: ignore[assignment]

    def __init__(self) -> None:
        Recording.__init__(self)
        self.told: set[str] = set()
        self.events: list[lineage.ListedEvent] = []

    def RegisterLineage(  # noqa: N802
        self, request: lineage.RegisterLineageRequest, context: Any
    ) -> lineage.RegisterLineageResponse:
        self.note(request, context)
        return lineage.RegisterLineageResponse(duplicate=self._knows(request.request_id))

    def RecordEvent(  # noqa: N802
        self, request: lineage.RecordEventRequest, context: Any
    ) -> lineage.RecordEventResponse:
        self.note(request, context)
        return lineage.RecordEventResponse(duplicate=self._knows(request.event.event_id))

    def ListEvents(  # noqa: N802
        self, request: lineage.ListEventsRequest, context: Any
    ) -> lineage.ListEventsResponse:
        self.note(request, context)
        first = int(request.page_token or 0)
        last = first + min(request.page_size, 2)
        token = str(last) if last < len(self.events) else ""
        return lineage.ListEventsResponse(events=self.events[first:last], next_page_token=token)

    def _knows(self, identifier: str) -> bool:
        known = identifier in self.told
        self.told.add(identifier)
        return known
