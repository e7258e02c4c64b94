"""The audit's operations, without a channel."""

from operator import attrgetter

from aftershock import _methods as methods
from aftershock._calls import PAGE_SIZE, Flow, ask, pages
from aftershock.v1 import audit_service_pb2 as audit
from aftershock.v1.audit_pb2 import Audit, AuditParameters, AuditSnapshot


def start_audit(
    request_id: str, snapshot: AuditSnapshot, parameters: AuditParameters | None, seed: int
) -> Flow[Audit]:
    """Start an audit, once a request id."""
    request = audit.StartAuditRequest(
        request_id=request_id, snapshot=snapshot, parameters=parameters, seed=seed
    )
    answer = yield from ask(methods.START_AUDIT, request)
    return answer.audit


def get_audit(name: str) -> Flow[audit.GetAuditResponse]:
    """Return an audit, with its report if it has one."""
    return (yield from ask(methods.GET_AUDIT, audit.GetAuditRequest(name=_full(name))))


def list_audits(limit: int | None) -> Flow[list[Audit]]:
    """List audits, newest first."""
    request = audit.ListAuditsRequest(page_size=PAGE_SIZE)
    return (yield from pages(methods.LIST_AUDITS, request, attrgetter("audits"), limit))


def cancel_audit(name: str) -> Flow[Audit]:
    """Stop an audit."""
    answer = yield from ask(methods.CANCEL_AUDIT, audit.CancelAuditRequest(name=_full(name)))
    return answer.audit


def diff_audits(before: str, after: str) -> Flow[audit.DiffAuditsResponse]:
    """Return what appeared between two audits."""
    request = audit.DiffAuditsRequest(before=_full(before), after=_full(after))
    return (yield from ask(methods.DIFF_AUDITS, request))


def _full(name: str) -> str:
    return name if name.startswith("audits/") else f"audits/{name}"
