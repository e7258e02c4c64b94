"""Serves aftershock.v1.AuditService."""

from dataclasses import dataclass
from typing import Any

import grpc

from aftershock.v1 import audit_service_pb2 as pb
from aftershock.v1 import audit_service_pb2_grpc as pb_grpc
from services.audit.adapters.grpc_messages import audit_message
from services.audit.adapters.grpc_report import change_message, report_message, shorten
from services.audit.adapters.grpc_requests import parameters_of, snapshot_of
from services.audit.cancel import Cancel
from services.audit.compare import Compare
from services.audit.domain.audit import AuditState
from services.audit.ports import AuditRepository
from services.audit.start import Start
from services.chassis.channel import MAX_MESSAGE_BYTES

_Context = grpc.aio.ServicerContext[Any, Any]
_DEFAULT_PAGE = 100
_ROOM_BYTES = 1024 * 1024
"""Of a message, for all but a report."""


@dataclass(frozen=True)
class AuditServicer(pb_grpc.AuditServiceServicer):
    """Translates requests to use cases."""

    audits: AuditRepository
    start: Start
    cancel: Cancel
    compare: Compare

    async def StartAudit(  # noqa: N802 - the contract's name
        self,
        request: pb.StartAuditRequest,
        context: _Context,  # noqa: ARG002 - the stub's signature
    ) -> pb.StartAuditResponse:
        """Start an audit, once a request id."""
        snapshot, parameters = snapshot_of(request.snapshot), parameters_of(request.parameters)
        audit = await self.start(request.request_id, snapshot, parameters, request.seed)
        return pb.StartAuditResponse(audit=audit_message(audit))

    async def GetAudit(  # noqa: N802
        self,
        request: pb.GetAuditRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.GetAuditResponse:
        """Get an audit, with its report if it has one."""
        audit = await self.audits.get(request.name)
        answer = pb.GetAuditResponse(audit=audit_message(audit))
        if audit.state is AuditState.DONE:
            answer.report.CopyFrom(report_message(await self.audits.report(request.name)))
            shorten(answer.report, MAX_MESSAGE_BYTES - _ROOM_BYTES)
        return answer

    async def ListAudits(  # noqa: N802
        self,
        request: pb.ListAuditsRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.ListAuditsResponse:
        """List audits, newest first."""
        size = request.page_size or _DEFAULT_PAGE
        found = await self.audits.newest(request.page_token or None, size + 1)
        return pb.ListAuditsResponse(
            audits=[audit_message(audit) for audit in found[:size]],
            next_page_token=found[size - 1].name if len(found) > size else "",
        )

    async def CancelAudit(  # noqa: N802
        self,
        request: pb.CancelAuditRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.CancelAuditResponse:
        """Stop an audit."""
        return pb.CancelAuditResponse(audit=audit_message(await self.cancel(request.name)))

    async def DiffAudits(  # noqa: N802
        self,
        request: pb.DiffAuditsRequest,
        context: _Context,  # noqa: ARG002
    ) -> pb.DiffAuditsResponse:
        """Say what appeared between two audits."""
        found = await self.compare(request.before, request.after)
        return pb.DiffAuditsResponse(
            changes=[change_message(change) for change in found.changes],
            disappeared=found.disappeared,
        )
