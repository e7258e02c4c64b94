"""How far event time has come, as the aggregator knows it."""

import logging
from datetime import UTC, datetime

import grpc

from aftershock.v1.aggregator_service_pb2 import ListModelsRequest
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceStub

_log = logging.getLogger(__name__)
_SECONDS = 5.0


class GrpcWatermarks:
    """Asks the aggregator for a model's newest example."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = AggregatorServiceStub(channel)
        self._metadata = metadata

    async def latest(self, model: str) -> datetime | None:
        """Return the event time of the model's newest example; None if nobody can say."""
        try:
            return await self._find(model)
        except grpc.aio.AioRpcError as error:
            _log.warning("no watermark: %s %s", error.code().name, error.details())
            return None

    async def _find(self, model: str) -> datetime | None:
        token = ""
        while True:
            page = await self._stub.ListModels(
                ListModelsRequest(page_token=token), timeout=_SECONDS, metadata=self._metadata
            )
            for summary in page.models:
                if summary.name == model and summary.HasField("latest_event_time"):
                    return summary.latest_event_time.ToDatetime(tzinfo=UTC)
            token = page.next_page_token
            if not token:
                return None
