"""What the client asks of the audit service, from an event loop."""

from uuid import uuid4

from aftershock import _audit_calls as calls
from aftershock._aio_caller import AioCaller
from aftershock.v1.audit_pb2 import Audit, AuditParameters, AuditSnapshot
from aftershock.v1.audit_service_pb2 import DiffAuditsResponse, GetAuditResponse


class AioAuditClient(AioCaller):
    """Audits of multi-label data for natural triggers."""

    async def start_audit(
        self,
        snapshot: AuditSnapshot,
        parameters: AuditParameters | None = None,
        *,
        seed: int = 0,
        request_id: str | None = None,
    ) -> Audit:
        """Start an audit and return at once. See aftershock.Client.start_audit."""
        return await self._run(
            calls.start_audit(request_id or uuid4().hex, snapshot, parameters, seed)
        )

    async def audit(self, name: str) -> GetAuditResponse:
        """Return an audit by its id or name, with its report once it has one."""
        return await self._run(calls.get_audit(name))

    async def audits(self, *, limit: int | None = None) -> list[Audit]:
        """Return audits, newest first, without reports."""
        return await self._run(calls.list_audits(limit))

    async def cancel_audit(self, name: str) -> Audit:
        """Stop an audit that waits or runs; one that has ended stays as it is."""
        return await self._run(calls.cancel_audit(name))

    async def diff_audits(self, before: str, after: str) -> DiffAuditsResponse:
        """Return the hubs, the exposure and the concentration that appeared between two audits."""
        return await self._run(calls.diff_audits(before, after))
