"""A lineage service that keeps what it is told and answers as a test tells it."""

from collections.abc import Iterator
from typing import Any

import grpc

from aftershock.v1 import lineage_service_pb2 as lineage
from aftershock.v1 import lineage_service_pb2_grpc as lineage_grpc
from aftershock.v1.lineage_pb2 import PropagationWarning
from tests.unit.clients.aftershock.recording import Recording


class Lineage(lineage_grpc.LineageServiceServicer, Recording):
    """Answers with what a test puts in; what is told twice by its id is a duplicate."""

    def __init__(self) -> None:
        Recording.__init__(self)
        self.told: set[str] = set()
        self.events: list[lineage.ListedEvent] = []
        self.surroundings = lineage.GetLineageResponse()
        self.unknown = False
        """Whether nobody told of the node that is looked around."""
        self.propagation = lineage.TracePropagationResponse()
        self.causes = lineage.FindCommonCausesResponse()
        self.radius = lineage.GetBlastRadiusResponse()
        self.warnings: list[PropagationWarning] = []

    def RegisterFeatures(  # noqa: N802
        self, request: lineage.RegisterFeaturesRequest, context: Any
    ) -> lineage.RegisterFeaturesResponse:
        self.note(request, context)
        return lineage.RegisterFeaturesResponse(duplicate=self._knows(request.request_id))

    def RegisterModel(  # noqa: N802
        self, request: lineage.RegisterModelRequest, context: Any
    ) -> lineage.RegisterModelResponse:
        self.note(request, context)
        return lineage.RegisterModelResponse(duplicate=self._knows(request.request_id))

    def GetLineage(  # noqa: N802
        self, request: lineage.GetLineageRequest, context: Any
    ) -> lineage.GetLineageResponse:
        self.note(request, context)
        if self.unknown:
            context.abort(grpc.StatusCode.NOT_FOUND, f"nobody told of {request.node}")
        return self.surroundings

    def TracePropagation(  # noqa: N802
        self, request: lineage.TracePropagationRequest, context: Any
    ) -> lineage.TracePropagationResponse:
        self.note(request, context)
        return self.propagation

    def FindCommonCauses(  # noqa: N802
        self, request: lineage.FindCommonCausesRequest, context: Any
    ) -> lineage.FindCommonCausesResponse:
        self.note(request, context)
        return self.causes

    def GetBlastRadius(  # noqa: N802
        self, request: lineage.GetBlastRadiusRequest, context: Any
    ) -> lineage.GetBlastRadiusResponse:
        self.note(request, context)
        return self.radius

    def WatchPropagation(  # noqa: N802
        self, request: lineage.WatchPropagationRequest, context: Any
    ) -> Iterator[lineage.WatchPropagationResponse]:
        """Those after the cursor; then the stream breaks, as when a replica shuts down."""
        self.note(request, context)
        if request.send_start:
            yield lineage.WatchPropagationResponse(cursor="0")
        for warning in list(self.warnings):
            if warning.cursor > request.cursor:
                yield lineage.WatchPropagationResponse(warning=warning)
        context.abort(grpc.StatusCode.UNAVAILABLE, "shuts down")

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
