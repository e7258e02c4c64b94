"""The timeline that the aggregator keeps."""

import json
import logging

import grpc
from prometheus_client import Counter

from aftershock.v1.lineage_pb2 import EventKind, TimelineEvent
from aftershock.v1.lineage_service_pb2 import RecordEventRequest
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub
from services.runbook.domain.errors import TimelineUnavailable
from services.runbook.domain.happening import Happening

_log = logging.getLogger(__name__)
_SECONDS = 5.0
_LONGEST_SUMMARY = 1024
_LONGEST_ACTOR = 256
_EVENTS = Counter(
    "aftershock_timeline_events_total", "Events told to the timeline, by its answer.", ["result"]
)


class GrpcTimeline:
    """Tells the aggregator; counts what it did not take."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = LineageServiceStub(channel)
        self._metadata = metadata

    async def record(self, happening: Happening) -> None:
        """Tell of a happening, once by its id."""
        request = RecordEventRequest(event=_message(happening))
        try:
            answer = await self._stub.RecordEvent(
                request, timeout=_SECONDS, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
                raise TimelineUnavailable(
                    f"the aggregator says {error.code().name}: {error.details()}"
                ) from error
            # It would say the same for ever, and hold up everything behind it.
            _EVENTS.labels("refused").inc()
            _log.error("the timeline refuses %s: %s", happening.id, error.details())
        else:
            _EVENTS.labels("duplicate" if answer.duplicate else "recorded").inc()


def _message(happening: Happening) -> TimelineEvent:
    event = TimelineEvent(
        event_id=happening.id,
        node=f"model:{happening.model.removeprefix('models/')}",
        kind=EventKind.Value(f"EVENT_KIND_{happening.kind}"),
        summary=happening.summary[:_LONGEST_SUMMARY],
        actor=happening.actor[:_LONGEST_ACTOR],
        details_json=json.dumps(dict(happening.details)),
    )
    event.time.FromDatetime(happening.time)
    return event
