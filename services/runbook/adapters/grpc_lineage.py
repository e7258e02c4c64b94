"""Who is downstream and what was found upstream, as the aggregator's lineage has it."""

from collections.abc import Sequence
from datetime import datetime

import grpc

from aftershock.v1.lineage_pb2 import EventKind, TimelineEvent
from aftershock.v1.lineage_service_pb2 import (
    GetBlastRadiusRequest,
    GetBlastRadiusResponse,
    ListEventsRequest,
)
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub
from services.runbook.adapters.grpc_finding_messages import end_of, finding_of
from services.runbook.domain.errors import LineageUnavailable
from services.runbook.domain.finding import AuditEnd, AuditFinding, standing

_SECONDS = 5.0
_MOST_MODELS = 10_000
_MOST_EVENTS = 1000
_DEPTH = 6
"""Edges upstream that findings are looked for in."""
_OF_AUDITS = (EventKind.EVENT_KIND_AUDIT_FINDING, EventKind.EVENT_KIND_AUDIT)


class GrpcLineage:
    """Asks for the blast radius of a model's node, and for findings upstream of it."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = LineageServiceStub(channel)
        self._metadata = metadata

    async def downstream(self, model: str, features: Sequence[str] = ()) -> int:
        """Return how many other models would notice. Raises LineageUnavailable."""
        try:
            answer = await self._noticing([f"feature:{name}" for name in features], model)
            # What lineage does not know to feed the model is felt wherever the model is.
            if all(each.model != model for each in answer.models):
                answer = await self._noticing([_node(model)])
        except grpc.aio.AioRpcError as error:
            raise _unavailable(error) from error
        # The model itself is one of those that notice.
        return answer.model_count - any(each.model == model for each in answer.models)

    async def _noticing(self, nodes: Sequence[str], within: str = "") -> GetBlastRadiusResponse:
        """Return who would; nobody if there are no nodes, or lineage does not know one `within`."""
        request = GetBlastRadiusRequest(nodes=nodes, model=within, limit=_MOST_MODELS)
        try:
            if nodes:
                return await self._stub.GetBlastRadius(
                    request, timeout=_SECONDS, metadata=self._metadata
                )
        except grpc.aio.AioRpcError as error:
            if not within or error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
        return GetBlastRadiusResponse()

    async def fed(self, node: str) -> Sequence[str]:
        """Return the models downstream of a node."""
        try:
            answer = await self._noticing([node])
        except grpc.aio.AioRpcError as error:
            # A node that cannot be asked about stays so: waiting would hold up all other findings.
            if error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}:
                return []
            raise _unavailable(error) from error
        return [each.model for each in answer.models]

    async def findings(self, model: str, since: datetime) -> Sequence[AuditFinding]:
        """Return what audits found since then in what feeds the model."""
        request = ListEventsRequest(nodes=[_node(model)], depth=_DEPTH, page_size=_MOST_EVENTS)
        request.start_time.FromDatetime(since)
        told, _ = await self._told(request)
        findings = [each for each in told if isinstance(each, AuditFinding)]
        return standing(findings, [each for each in told if isinstance(each, AuditEnd)])

    async def told(self, since: datetime) -> Sequence[AuditFinding | AuditEnd]:
        """Return what audits of whatever data found since then, and which of them ended."""
        request = ListEventsRequest(page_size=_MOST_EVENTS)
        request.start_time.FromDatetime(since)
        told: list[AuditFinding | AuditEnd] = []
        while True:
            some, request.page_token = await self._told(request)
            told += some
            if not request.page_token:
                return told

    async def _told(
        self, request: ListEventsRequest
    ) -> tuple[Sequence[AuditFinding | AuditEnd], str]:
        request.kinds[:] = _OF_AUDITS
        try:
            answer = await self._stub.ListEvents(request, timeout=_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise _unavailable(error) from error
        return [_of_audit(listed.event) for listed in answer.events], answer.next_page_token


def _of_audit(event: TimelineEvent) -> AuditFinding | AuditEnd:
    ends = event.kind == EventKind.EVENT_KIND_AUDIT
    return end_of(event) if ends else finding_of(event)


def _node(model: str) -> str:
    return f"model:{model.removeprefix('models/')}"


def _unavailable(error: grpc.aio.AioRpcError) -> LineageUnavailable:
    return LineageUnavailable(f"lineage says {error.code().name}: {error.details()}")
