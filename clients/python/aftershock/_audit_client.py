"""What the client asks of the audit service."""

from uuid import uuid4

from aftershock import _audit_calls as calls
from aftershock._caller import Caller
from aftershock.v1.audit_pb2 import Audit, AuditParameters, AuditSnapshot
from aftershock.v1.audit_service_pb2 import DiffAuditsResponse, GetAuditResponse


class AuditClient(Caller):
    """Audits of multi-label data for natural triggers."""

    def start_audit(
        self,
        snapshot: AuditSnapshot,
        parameters: AuditParameters | None = None,
        *,
        seed: int = 0,
        request_id: str | None = None,
    ) -> Audit:
        """Start an audit and return at once.

        Args:
            snapshot: files on the service's disk, under one of its snapshot roots.
            parameters: what to look for; the defaults if left out.
            seed: the same snapshot, parameters and seed have the same report.
            request_id: the same one starts an audit once; a new one if left out.
        """
        return self._run(calls.start_audit(request_id or uuid4().hex, snapshot, parameters, seed))

    def audit(self, name: str) -> GetAuditResponse:
        """Return an audit by its id or name, with its report once it has one."""
        return self._run(calls.get_audit(name))

    def audits(self, *, limit: int | None = None) -> list[Audit]:
        """Return audits, newest first, without reports."""
        return self._run(calls.list_audits(limit))

    def cancel_audit(self, name: str) -> Audit:
        """Stop an audit that waits or runs; one that has ended stays as it is."""
        return self._run(calls.cancel_audit(name))

    def diff_audits(self, before: str, after: str) -> DiffAuditsResponse:
        """Return the hubs, the exposure and the concentration that appeared between two audits."""
        return self._run(calls.diff_audits(before, after))
