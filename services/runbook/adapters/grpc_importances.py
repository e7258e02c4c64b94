"""Importances as the aggregator keeps them."""

from collections.abc import Mapping, Sequence

import grpc

from aftershock.v1.aggregator_service_pb2 import GetGfiRequest
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceStub
from services.runbook.domain.errors import ImportancesUnavailable

_SECONDS = 5.0


class GrpcImportances:
    """Asks the aggregator for a window's GFI."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = AggregatorServiceStub(channel)
        self._metadata = metadata

    async def gfi(self, window: str, features: Sequence[str]) -> Mapping[str, float]:
        """Return the GFI of these features in a window; none where the window is not known."""
        try:
            answer = await self._stub.GetGfi(
                GetGfiRequest(window=window), timeout=_SECONDS, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return {}
            raise ImportancesUnavailable(
                f"the aggregator says {error.code().name}: {error.details()}"
            ) from error
        return {i.feature: i.gfi for i in answer.importances if i.feature in features}
