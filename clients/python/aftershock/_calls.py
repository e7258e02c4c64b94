"""Every operation, without a channel: it yields calls and is sent their answers.

The sync and the async client drive the same generators, so that paging, naming and picking are
written once.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock import _methods as methods
from aftershock._errors import Conflict
from aftershock._methods import Answer, Method, Request
from aftershock._names import CONTROLS, incident_name, rank_by_of, window_name
from aftershock.v1 import aggregator_service_pb2 as aggregator
from aftershock.v1 import attribution_service_pb2 as attribution
from aftershock.v1 import runbook_service_pb2 as runbook
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.importance_pb2 import FeatureImportance
from aftershock.v1.incident_pb2 import Incident, Mitigation, MitigationState
from aftershock.v1.shift_pb2 import Comparison
from aftershock.v1.window_pb2 import Window

Item = TypeVar("Item")
Result = TypeVar("Result")
States = frozenset[MitigationState.ValueType]

_PAGE_SIZE = 100
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


@dataclass(frozen=True)
class Call(Generic[Request, Answer]):
    """One request to one method."""

    method: Method[Request, Answer]
    request: Request


Flow = Generator[Call[Any, Any], Any, Result]
"""An operation under way: yields calls, is sent answers, returns its result."""


def report_outcomes(
    model: str,
    start: Timestamp,
    end: Timestamp,
    *,
    expected: float,
    observed: float,
    request_id: str | None,
) -> Flow[aggregator.ReportOutcomesResponse]:
    """Report counts. Without a request id, equal arguments make an equal one: it counts once."""
    if observed != int(observed):
        raise ValueError(f"observed={observed!r} is a count of events: pass a whole number")
    request = aggregator.ReportOutcomesRequest(
        model=model,
        start_time=start,
        end_time=end,
        expected=expected,
        observed=int(observed),
    )
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    request.request_id = request_id or digest
    return (yield from _ask(methods.REPORT_OUTCOMES, request))


def list_models() -> Flow[list[aggregator.ModelSummary]]:
    """List what the aggregator knows of each model."""
    request = aggregator.ListModelsRequest(page_size=_PAGE_SIZE)
    return (yield from _pages(methods.LIST_MODELS, request, attrgetter("models"), None))


def set_model_rules(
    model: str, allowed_lateness: timedelta | None, retention: timedelta | None
) -> Flow[aggregator.ModelRules]:
    """Replace a model's own rules."""
    request = aggregator.SetModelRulesRequest(model=model)
    if allowed_lateness is not None:
        request.rules.allowed_lateness.FromTimedelta(allowed_lateness)
    if retention is not None:
        request.rules.retention.FromTimedelta(retention)
    answer = yield from _ask(methods.SET_MODEL_RULES, request)
    return answer.rules


def list_windows(model: str, limit: int | None) -> Flow[list[Window]]:
    """List a model's windows, newest first."""
    request = aggregator.ListWindowsRequest(parent=model, page_size=_PAGE_SIZE)
    return (yield from _pages(methods.LIST_WINDOWS, request, attrgetter("windows"), limit))


def get_gfi(window: str) -> Flow[list[FeatureImportance]]:
    """Return a window's importances by rank."""
    answer = yield from _ask(methods.GET_GFI, aggregator.GetGfiRequest(window=window))
    return list(answer.importances)


def get_feature_profile(window: str, feature: str) -> Flow[aggregator.GetFeatureProfileResponse]:
    """Return what a feature's values looked like in a window."""
    request = aggregator.GetFeatureProfileRequest(window=window, feature=feature)
    return (yield from _ask(methods.GET_FEATURE_PROFILE, request))


def compare(
    anomaly: str, control: Window | str | None, top: int, rank_by: str | None
) -> Flow[Comparison]:
    """Compare a window with a control: a window, a way to choose one, or the server's choice."""
    order = rank_by_of(rank_by)
    request = aggregator.CompareWindowsRequest(anomaly=anomaly, top_k=top, rank_by=order)
    if isinstance(control, str) and control in CONTROLS:
        request.control_selection = CONTROLS[control]
    elif control is not None:
        request.control_window = window_name(control, anomaly.partition("/windows/")[0])
    answer = yield from _ask(methods.COMPARE_WINDOWS, request)
    return answer.comparison


def choose_sample_size(window: str, tolerance: float) -> Flow[aggregator.ChooseSampleSizeResponse]:
    """Return how many examples a window like this one needs."""
    request = aggregator.ChooseSampleSizeRequest(window=window, tolerance=tolerance)
    return (yield from _ask(methods.CHOOSE_SAMPLE_SIZE, request))


def list_incidents(model: str, limit: int | None) -> Flow[list[Incident]]:
    """List incidents of a model, or of all where it is empty, newest first."""
    request = runbook.ListIncidentsRequest(model=model, page_size=_PAGE_SIZE)
    return (yield from _pages(methods.LIST_INCIDENTS, request, attrgetter("incidents"), limit))


def get_incident(incident: str) -> Flow[Incident]:
    """Return an incident."""
    name = incident_name(incident)
    answer = yield from _ask(methods.GET_INCIDENT, runbook.GetIncidentRequest(name=name))
    return answer.incident


def approve(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Approve the plan in `mitigation`, or the one proposed now where only a name is given."""
    plan = yield from find_mitigation(mitigation, PROPOSED)
    request = runbook.ApproveMitigationRequest(
        name=plan.name, plan_hash=plan.plan_hash, reason=reason
    )
    answer = yield from _ask(methods.APPROVE_MITIGATION, request)
    return answer.mitigation


def reject(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Reject the plan in `mitigation`, or the one proposed now where only a name is given."""
    plan = yield from find_mitigation(mitigation, PROPOSED)
    request = runbook.RejectMitigationRequest(
        name=plan.name, plan_hash=plan.plan_hash, reason=reason
    )
    answer = yield from _ask(methods.REJECT_MITIGATION, request)
    return answer.mitigation


def revert(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Revert a mitigation, or the one in force where only an incident is given."""
    plan = yield from find_mitigation(mitigation, IN_FORCE)
    request = runbook.RevertMitigationRequest(name=plan.name, reason=reason)
    answer = yield from _ask(methods.REVERT_MITIGATION, request)
    return answer.mitigation


def renew(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Renew a kill, or the one in force where only an incident is given."""
    plan = yield from find_mitigation(mitigation, IN_FORCE)
    request = runbook.RenewMitigationRequest(name=plan.name, reason=reason)
    answer = yield from _ask(methods.RENEW_MITIGATION, request)
    return answer.mitigation


def release(mitigation: Mitigation | str, reason: str) -> Flow[Mitigation]:
    """Release a kill by stages, or the effective one where only an incident is given."""
    plan = yield from find_mitigation(mitigation, EFFECTIVE)
    request = runbook.ReleaseMitigationRequest(name=plan.name, reason=reason)
    answer = yield from _ask(methods.RELEASE_MITIGATION, request)
    return answer.mitigation


def pause(reason: str) -> Flow[runbook.Pause]:
    """Stop all mitigations."""
    request = runbook.PauseMitigationsRequest(reason=reason)
    return (yield from _ask(methods.PAUSE_MITIGATIONS, request)).pause


def resume(reason: str) -> Flow[runbook.Pause]:
    """Let mitigations go on."""
    request = runbook.ResumeMitigationsRequest(reason=reason)
    return (yield from _ask(methods.RESUME_MITIGATIONS, request)).pause


def get_pause() -> Flow[runbook.Pause]:
    """Return whether mitigations are stopped."""
    return (yield from _ask(methods.GET_PAUSE, runbook.GetPauseRequest())).pause


def check_policy(file: str | Path) -> Flow[runbook.CheckPolicyResponse]:
    """Have the runbook look a policy file over."""
    content = Path(file).read_text(encoding="utf-8")
    request = runbook.CheckPolicyRequest(file_name=Path(file).name, content=content)
    return (yield from _ask(methods.CHECK_POLICY, request))


def replay_policy(file: str | Path, model: str, limit: int) -> Flow[list[runbook.ReplayedIncident]]:
    """Have the runbook run a policy file over recorded incidents."""
    content = Path(file).read_text(encoding="utf-8")
    request = runbook.ReplayPolicyRequest(
        file_name=Path(file).name, content=content, model=model, limit=limit
    )
    answer = yield from _ask(methods.REPLAY_POLICY, request)
    return list(answer.incidents)


def verify_audit() -> Flow[runbook.VerifyAuditResponse]:
    """Have the runbook verify its audit."""
    return (yield from _ask(methods.VERIFY_AUDIT, runbook.VerifyAuditRequest()))


def list_checkpoints() -> Flow[list[Checkpoint]]:
    """List the checkpoints that attribution holds."""
    request = attribution.ListCheckpointsRequest(page_size=_PAGE_SIZE)
    return (yield from _pages(methods.LIST_CHECKPOINTS, request, attrgetter("checkpoints"), None))


def load_checkpoint(folder: str) -> Flow[Checkpoint]:
    """Load a checkpoint folder on attribution's disk."""
    request = attribution.LoadCheckpointRequest(folder=folder)
    answer = yield from _ask(methods.LOAD_CHECKPOINT, request)
    return answer.checkpoint


def explain_checkpoint(name: str) -> Flow[attribution.ExplainCheckpointResponse]:
    """Return how a checkpoint is ablated."""
    request = attribution.ExplainCheckpointRequest(name=name)
    return (yield from _ask(methods.EXPLAIN_CHECKPOINT, request))


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


def _ask(method: Method[Request, Answer], request: Request) -> Flow[Answer]:
    answer: Answer = yield Call(method, request)
    return answer


def _pages(
    method: Method[Any, Any],
    request: Any,
    items: Callable[[Any], Iterable[Item]],
    limit: int | None,
) -> Flow[list[Item]]:
    found: list[Item] = []
    while limit is None or len(found) < limit:
        page = yield from _ask(method, request)
        found.extend(items(page))
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    return found[:limit]
