"""aftershock.v1.RunbookService over the use cases."""
# ruff: noqa: ARG002, N802 - the signatures are gRPC's

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.incident_pb2 import Incident
from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceServicer
from services.chassis.interceptors.auth import current_principal
from services.chassis.tokens import Role
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.grpc_messages import (
    incident_message,
    mitigation_message,
    pause_message,
)
from services.runbook.adapters.grpc_policy_messages import policy_summary, replayed_message
from services.runbook.adapters.grpc_surface_messages import (
    surface_from,
    surface_ids,
    surface_message,
)
from services.runbook.approve import Approve
from services.runbook.claim_surface import ClaimSurface
from services.runbook.domain.approval import Answer, Expert, Recall, Wish
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.domain.pause import PauseState
from services.runbook.pause import SetPause
from services.runbook.ports import RuleReader, Store
from services.runbook.record_surface import RecordSurface
from services.runbook.reject import Reject
from services.runbook.release import Release
from services.runbook.renew import Renew
from services.runbook.replay_policy import ReplayPolicy
from services.runbook.revert import Revert
from services.runbook.snooze import Snooze
from services.runbook.verify_audit import VerifyAudit

_Context = grpc.aio.ServicerContext[Any, Any]
_DEFAULT_PAGE = 50
_DEFAULT_REPLAY = 100
_POLL_SECONDS = 1.0
"""How soon a watcher sees what another replica committed."""


@dataclass(frozen=True)
class RunbookServicer(RunbookServiceServicer):
    """Answers experts, and those who watch."""

    store: Store
    changes: ChangeSignal
    approve: Approve
    reject: Reject
    revert: Revert
    renew: Renew
    release: Release
    set_pause: SetPause
    snooze: Snooze
    claim_surface: ClaimSurface
    record_surface: RecordSurface
    reader: RuleReader
    replay_policy: ReplayPolicy
    verify_audit: VerifyAudit

    async def ListIncidents(
        self, request: pb.ListIncidentsRequest, context: _Context
    ) -> pb.ListIncidentsResponse:
        """Return incidents, newest first."""
        size = request.page_size or _DEFAULT_PAGE
        incidents, token = await self.store.read(
            lambda unit: unit.catalogue.page(request.model or None, size, request.page_token)
        )
        return pb.ListIncidentsResponse(
            incidents=[incident_message(incident) for incident in incidents], next_page_token=token
        )

    async def GetIncident(
        self, request: pb.GetIncidentRequest, context: _Context
    ) -> pb.GetIncidentResponse:
        """Return one incident."""
        incident_id = request.name.removeprefix("incidents/")
        return pb.GetIncidentResponse(incident=await self._incident(incident_id))

    async def WatchIncidents(
        self, request: pb.WatchIncidentsRequest, context: _Context
    ) -> AsyncIterator[pb.WatchIncidentsResponse]:
        """Send each incident as it is now, then again whenever it changes."""
        sent: dict[str, int] = {}
        while not self.changes.closed:
            seen = self.changes.count
            versions = await self.store.read(
                lambda unit: unit.catalogue.versions(request.model or None)
            )
            for incident_id in [i for i, version in versions.items() if sent.get(i) != version]:
                yield pb.WatchIncidentsResponse(incident=await self._incident(incident_id))
            sent = dict(versions)
            await self.changes.wait(seen, _POLL_SECONDS)

    async def ApproveMitigation(
        self, request: pb.ApproveMitigationRequest, context: _Context
    ) -> pb.ApproveMitigationResponse:
        """Record a yes."""
        incident_id, mitigation_id = _ids(request.name)
        answer = Answer(mitigation_id, _expert(), request.plan_hash, _reason(request.reason))
        mitigation = await self.approve(incident_id, answer)
        return pb.ApproveMitigationResponse(mitigation=mitigation_message(mitigation))

    async def RejectMitigation(
        self, request: pb.RejectMitigationRequest, context: _Context
    ) -> pb.RejectMitigationResponse:
        """Record a no."""
        incident_id, mitigation_id = _ids(request.name)
        answer = Answer(mitigation_id, _expert(), request.plan_hash, _reason(request.reason))
        mitigation = await self.reject(incident_id, answer)
        return pb.RejectMitigationResponse(mitigation=mitigation_message(mitigation))

    async def RevertMitigation(
        self, request: pb.RevertMitigationRequest, context: _Context
    ) -> pb.RevertMitigationResponse:
        """Record that a mitigation is to be undone."""
        incident_id, mitigation_id = _ids(request.name)
        mitigation = await self.revert(
            incident_id, Recall(mitigation_id, _expert(), _reason(request.reason))
        )
        return pb.RevertMitigationResponse(mitigation=mitigation_message(mitigation))

    async def RenewMitigation(
        self, request: pb.RenewMitigationRequest, context: _Context
    ) -> pb.RenewMitigationResponse:
        """Begin a lease anew."""
        incident_id, mitigation_id = _ids(request.name)
        mitigation = await self.renew(
            incident_id, Wish(mitigation_id, _expert(), _reason(request.reason), request.etag)
        )
        return pb.RenewMitigationResponse(mitigation=mitigation_message(mitigation))

    async def ReleaseMitigation(
        self, request: pb.ReleaseMitigationRequest, context: _Context
    ) -> pb.ReleaseMitigationResponse:
        """Record that a mitigation's features are to be served again by stages."""
        incident_id, mitigation_id = _ids(request.name)
        mitigation = await self.release(
            incident_id, Wish(mitigation_id, _expert(), _reason(request.reason), request.etag)
        )
        return pb.ReleaseMitigationResponse(mitigation=mitigation_message(mitigation))

    async def PauseMitigations(
        self, request: pb.PauseMitigationsRequest, context: _Context
    ) -> pb.PauseMitigationsResponse:
        """Stop all mitigations."""
        pause = await self.set_pause(PauseState.PAUSED, _expert(), _reason(request.reason))
        return pb.PauseMitigationsResponse(pause=pause_message(pause))

    async def ResumeMitigations(
        self, request: pb.ResumeMitigationsRequest, context: _Context
    ) -> pb.ResumeMitigationsResponse:
        """Let them go on."""
        pause = await self.set_pause(PauseState.RUNNING, _expert(), _reason(request.reason))
        return pb.ResumeMitigationsResponse(pause=pause_message(pause))

    async def GetPause(self, request: pb.GetPauseRequest, context: _Context) -> pb.GetPauseResponse:
        """Say whether mitigations are stopped."""
        pause = await self.store.read(lambda unit: unit.restraints.pause())
        return pb.GetPauseResponse(pause=pause_message(pause))

    async def SnoozeIncident(
        self, request: pb.SnoozeIncidentRequest, context: _Context
    ) -> pb.SnoozeIncidentResponse:
        """Call nobody about an incident for a while."""
        incident = await self.snooze(
            request.name.removeprefix("incidents/"),
            _expert(),
            request.duration.ToTimedelta(),
            _reason(request.reason),
        )
        return pb.SnoozeIncidentResponse(incident=incident_message(incident))

    async def ClaimSurface(
        self, request: pb.ClaimSurfaceRequest, context: _Context
    ) -> pb.ClaimSurfaceResponse:
        """Let one bot bring a message up to date."""
        incident_id, surface_id = surface_ids(request.name)
        lease = request.lease.ToTimedelta()
        surface = await self.claim_surface(incident_id, surface_id, request.holder, lease)
        return pb.ClaimSurfaceResponse(surface=surface_message(surface))

    async def RecordSurface(
        self, request: pb.RecordSurfaceRequest, context: _Context
    ) -> pb.RecordSurfaceResponse:
        """Keep where a message is and what it shows."""
        after = surface_from(request.surface)
        surface = await self.record_surface(after, release=request.release)
        return pb.RecordSurfaceResponse(surface=surface_message(surface))

    async def CheckPolicy(
        self, request: pb.CheckPolicyRequest, context: _Context
    ) -> pb.CheckPolicyResponse:
        """Say what is wrong with a policy file, or what is in it."""
        try:
            rules = await asyncio.to_thread(self.reader.read, request.file_name, request.content)
        except InvalidPolicy as error:
            return pb.CheckPolicyResponse(problems=str(error).splitlines())
        return pb.CheckPolicyResponse(policies=[policy_summary(p) for p in rules.policies])

    async def ReplayPolicy(
        self, request: pb.ReplayPolicyRequest, context: _Context
    ) -> pb.ReplayPolicyResponse:
        """Say what a policy file would have done."""
        limit = request.limit or _DEFAULT_REPLAY
        replayed = await self.replay_policy(
            request.file_name, request.content, request.model or None, limit
        )
        return pb.ReplayPolicyResponse(incidents=[replayed_message(each) for each in replayed])

    async def VerifyAudit(
        self, request: pb.VerifyAuditRequest, context: _Context
    ) -> pb.VerifyAuditResponse:
        """Say whether the audit is what was written."""
        report = await self.verify_audit()
        return pb.VerifyAuditResponse(
            intact=not report.breaks,
            record_count=report.record_count,
            anchor_count=report.anchor_count,
            head=report.head,
            breaks=report.breaks,
        )

    async def _incident(self, incident_id: str) -> Incident:
        incident = await self.store.read(lambda unit: unit.incidents.get(incident_id))
        return incident_message(incident)


def _expert() -> Expert:
    principal = current_principal()
    return Expert(principal.name, may_approve=principal.holds(Role.APPROVER))


def _reason(given: str) -> str:
    """Return why the caller decided, with the surface that a delegate passed it on from."""
    surface = current_principal().surface
    if not surface:
        return given
    return f"{given} (through {surface})" if given else f"through {surface}"


def _ids(name: str) -> tuple[str, str]:
    _, incident_id, _, mitigation_id = name.split("/")
    return incident_id, mitigation_id
