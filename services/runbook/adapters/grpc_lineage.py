"""Who is downstream, as the aggregator's lineage has it."""

import grpc

from aftershock.v1.lineage_service_pb2 import GetBlastRadiusRequest
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub
from services.runbook.domain.errors import LineageUnavailable

_SECONDS = 5.0
_MOST_MODELS = 10_000


class GrpcLineage:
    """Asks for the blast radius of a model's node."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = LineageServiceStub(channel)
        self._metadata = metadata

    async def downstream(self, model: str) -> int:
        """Return how many other models would notice. Raises LineageUnavailable."""
        node = f"model:{model.removeprefix('models/')}"
        request = GetBlastRadiusRequest(nodes=[node], limit=_MOST_MODELS)
        try:
            answer = await self._stub.GetBlastRadius(
                request, timeout=_SECONDS, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            raise LineageUnavailable(
                f"lineage says {error.code().name}: {error.details()}"
            ) from error
        # The model itself is one of those that notice.
        return answer.model_count - any(each.model == model for each in answer.models)
