"""The runbook's operations, without a channel."""

from datetime import timedelta
from operator import attrgetter
from pathlib import Path

from aftershock import _methods as methods
from aftershock._calls import PAGE_SIZE, Flow, ask, pages
from aftershock._errors import Conflict
from aftershock._names import incident_name
from aftershock.v1 import runbook_service_pb2 as runbook
from aftershock.v1.incident_pb2 import Incident, Mitigation, MitigationState
from aftershock.v1.surface_pb2 import Surface

States = frozenset[MitigationState.ValueType]

PROPOSED: States = frozenset({MitigationState.MITIGATION_STATE_PROPOSED})
IN_FORCE: States = frozenset(
    {
        MitigationState.MITIGATION_STATE_APPLIED,
        MitigationState.MITIGATION_STATE_VERIFYING,
        MitigationState.MITIGATION_STATE_EFFECTIVE,
        MitigationState.MITIGATION_STATE_RELEASING,
    }
)
EFFECTIVE: States = frozenset({MitigationState.MITIGATION_STATE_EFFECTIVE})


def list_incidents(model: str, limit: int | None) -> Flow[list[Incident]]:
    """List incidents of a model, or of all where it is empty, newest first."""
    request = runbook.ListIncidentsRequest(model=model, page_size=PAGE_SIZE)
    return (yield from pages(methods.LIST_INCIDENTS, request, attrgetter("incidents"), limit))


def get_incident(incident: str) -> Flow[Incident]:
    """Return an incident."""
    name = incident_name(incident)
    answer = yield from ask(methods.GET_INCIDENT, runbook.GetIncidentRequest(name=name))
    return answer.incident


def approve(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Approve the plan in `mitigation`, or the one proposed now where only a name is given."""
    plan = yield from find_mitigation(mitigation, PROPOSED)
    request = runbook.ApproveMitigationRequest(
        name=plan.name, plan_hash=plan.plan_hash, reason=reason
    )
    answer = yield from ask(methods.APPROVE_MITIGATION, request)
    return answer.mitigation


def reject(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Reject the plan in `mitigation`, or the one proposed now where only a name is given."""
    plan = yield from find_mitigation(mitigation, PROPOSED)
    request = runbook.RejectMitigationRequest(
        name=plan.name, plan_hash=plan.plan_hash, reason=reason
    )
    answer = yield from ask(methods.REJECT_MITIGATION, request)
    return answer.mitigation


def revert(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Revert a mitigation, or the one in force where only an incident is given."""
    plan = yield from find_mitigation(mitigation, IN_FORCE)
    request = runbook.RevertMitigationRequest(name=plan.name, reason=reason)
    answer = yield from ask(methods.REVERT_MITIGATION, request)
    return answer.mitigation


def renew(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Renew a kill, or the one in force where only an incident is given."""
    plan = yield from find_mitigation(mitigation, IN_FORCE)
    request = runbook.RenewMitigationRequest(name=plan.name, reason=reason, etag=plan.etag)
    answer = yield from ask(methods.RENEW_MITIGATION, request)
    return answer.mitigation


def release(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Release a kill by stages, or the effective one where only an incident is given."""
    plan = yield from find_mitigation(mitigation, EFFECTIVE)
    request = runbook.ReleaseMitigationRequest(name=plan.name, reason=reason, etag=plan.etag)
    answer = yield from ask(methods.RELEASE_MITIGATION, request)
    return answer.mitigation


def pause(reason: str) -> Flow[runbook.Pause]:
    """Stop all mitigations."""
    request = runbook.PauseMitigationsRequest(reason=reason)
    return (yield from ask(methods.PAUSE_MITIGATIONS, request)).pause


def resume(reason: str) -> Flow[runbook.Pause]:
    """Let mitigations go on."""
    request = runbook.ResumeMitigationsRequest(reason=reason)
    return (yield from ask(methods.RESUME_MITIGATIONS, request)).pause


def get_pause() -> Flow[runbook.Pause]:
    """Return whether mitigations are stopped."""
    return (yield from ask(methods.GET_PAUSE, runbook.GetPauseRequest())).pause


def snooze(incident: str, duration: timedelta, reason: str) -> Flow[Incident]:
    """Call nobody about an incident for a while."""
    request = runbook.SnoozeIncidentRequest(name=incident_name(incident), reason=reason)
    request.duration.FromTimedelta(duration)
    return (yield from ask(methods.SNOOZE_INCIDENT, request)).incident


def claim_surface(name: str, holder: str, lease: timedelta) -> Flow[Surface]:
    """Claim where an incident is shown."""
    request = runbook.ClaimSurfaceRequest(name=name, holder=holder)
    request.lease.FromTimedelta(lease)
    return (yield from ask(methods.CLAIM_SURFACE, request)).surface


def record_surface(surface: Surface, *, release: bool) -> Flow[Surface]:
    """Record where an incident is shown."""
    request = runbook.RecordSurfaceRequest(surface=surface, release=release)
    return (yield from ask(methods.RECORD_SURFACE, request)).surface


def check_policy(file: str | Path) -> Flow[runbook.CheckPolicyResponse]:
    """Have the runbook look a policy file over."""
    content = Path(file).read_text(encoding="utf-8")
    request = runbook.CheckPolicyRequest(file_name=Path(file).name, content=content)
    return (yield from ask(methods.CHECK_POLICY, request))


def replay_policy(file: str | Path, model: str, limit: int) -> Flow[list[runbook.ReplayedIncident]]:
    """Have the runbook run a policy file over recorded incidents."""
    content = Path(file).read_text(encoding="utf-8")
    request = runbook.ReplayPolicyRequest(
        file_name=Path(file).name, content=content, model=model, limit=limit
    )
    answer = yield from ask(methods.REPLAY_POLICY, request)
    return list(answer.incidents)


def verify_audit() -> Flow[runbook.VerifyAuditResponse]:
    """Have the runbook verify its audit."""
    return (yield from ask(methods.VERIFY_AUDIT, runbook.VerifyAuditRequest()))


def find_mitigation(wanted: Mitigation | str, states: States) -> Flow[Mitigation]:
    """Return the mitigation meant: itself, by its name, or an incident's only one in `states`.

    Raises:
        Conflict: the incident has none, or several.
    """
    if isinstance(wanted, Mitigation):
        return wanted
    incident = yield from get_incident(wanted.partition("/mitigations/")[0])
    return pick_mitigation(incident, wanted, states)


def pick_mitigation(incident: Incident, wanted: str, states: States) -> Mitigation:
    """Return the mitigation of `incident` that `wanted` names, or its only one in `states`.

    Raises:
        Conflict: it has none, or several.
    """
    if "/mitigations/" in wanted:
        found = [m for m in incident.mitigations if m.name == incident_name(wanted)]
    else:
        found = [m for m in incident.mitigations if m.state in states]
    if len(found) == 1:
        return found[0]
    words = " or ".join(sorted(map(_word, states)))
    present = ", ".join(f"{m.name} is {_word(m.state)}" for m in incident.mitigations)
    raise Conflict(
        f"no single mitigation of {incident.name} is {words}: {present or 'it has none'}",
        code="FAILED_PRECONDITION",
    )


def _word(state: MitigationState.ValueType) -> str:
    return MitigationState.Name(state).removeprefix("MITIGATION_STATE_")
