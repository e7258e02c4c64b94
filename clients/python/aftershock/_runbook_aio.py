"""What the client asks of the runbook, from an event loop."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

from aftershock import _methods as methods
from aftershock import _runbook_calls as calls
from aftershock._aio_caller import AioCaller
from aftershock._backoff import Backoff
from aftershock._calls import Call
from aftershock._errors import Unavailable
from aftershock._log import logger
from aftershock._news import IncidentNews
from aftershock.v1.incident_pb2 import Incident, Mitigation
from aftershock.v1.runbook_service_pb2 import (
    CheckPolicyResponse,
    Pause,
    ReplayedIncident,
    VerifyAuditResponse,
    WatchIncidentsRequest,
)
from aftershock.v1.surface_pb2 import Surface


class AioRunbookClient(AioCaller):
    """Incidents, decisions, policies and the audit."""

    async def incidents(
        self, model: str | None = None, *, limit: int | None = None
    ) -> list[Incident]:
        """Return incidents of a model, or of all where neither call nor client names one."""
        return await self._run(calls.list_incidents(self._filter(model), limit))

    async def incident(self, name: str) -> Incident:
        """Return an incident by its id or name."""
        return await self._run(calls.get_incident(name))

    async def watch_incidents(self, model: str | None = None) -> AsyncGenerator[Incident]:
        """Yield incidents as they change. See aftershock.Client.watch_incidents."""
        call = Call(methods.WATCH_INCIDENTS, WatchIncidentsRequest(model=self._filter(model)))
        news, backoff = IncidentNews(), Backoff()
        while True:
            try:
                async with aclosing(self._stream(call)) as answers:
                    async for answer in answers:
                        backoff.reset()
                        if news.is_news(answer.incident):
                            yield answer.incident
            except Unavailable as error:
                logger.warning("%s; trying again", error)
            await asyncio.sleep(backoff.pause())

    async def approve(self, mitigation: Mitigation | str, reason: str = "") -> Mitigation:
        """Approve a proposed mitigation. See aftershock.Client.approve."""
        return await self._run(calls.approve(mitigation, reason))

    async def reject(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Reject a proposed mitigation, named as in `approve`."""
        return await self._run(calls.reject(mitigation, reason))

    async def revert(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Undo a mitigation in force: itself, its name, or an incident that has one."""
        return await self._run(calls.revert(mitigation, reason))

    async def renew(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Extend the lease of a kill: itself, its name, or an incident that has one in force.

        One that is being released is put in force again. A mitigation that has changed since it was
        read is refused.
        """
        return await self._run(calls.renew(mitigation, reason))

    async def release(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Serve an effective kill's features again by stages; named, and refused, as in `renew`."""
        return await self._run(calls.release(mitigation, reason))

    async def pause(self, reason: str) -> Pause:
        """Stop all mitigations, of all models. Undoing stays possible."""
        return await self._run(calls.pause(reason))

    async def resume(self, reason: str) -> Pause:
        """Let mitigations go on."""
        return await self._run(calls.resume(reason))

    async def pause_state(self) -> Pause:
        """Return whether mitigations are stopped, by whom and why."""
        return await self._run(calls.get_pause())

    async def snooze(self, incident: str, duration: timedelta, reason: str = "") -> Incident:
        """Call nobody about an incident for a while. Its proposals expire as ever."""
        return await self._run(calls.snooze(incident, duration, reason))

    async def claim_surface(self, name: str, *, holder: str, lease: timedelta) -> Surface:
        """Become the only bot that shows an incident. See aftershock.Client.claim_surface."""
        return await self._run(calls.claim_surface(name, holder, lease))

    async def record_surface(self, surface: Surface, *, release: bool = False) -> Surface:
        """Keep where an incident's message is. See aftershock.Client.record_surface."""
        return await self._run(calls.record_surface(surface, release=release))

    async def check_policy(self, file: str | Path) -> CheckPolicyResponse:
        """Return what is wrong with a policy file of this machine, or what is in it."""
        return await self._run(calls.check_policy(file))

    async def replay_policy(
        self, file: str | Path, model: str | None = None, *, limit: int = 100
    ) -> list[ReplayedIncident]:
        """Return the newest incidents with what a policy file would have done, and what was done.

        Raises:
            InvalidRequest: the runbook cannot follow the file.
        """
        return await self._run(calls.replay_policy(file, self._filter(model), limit))

    async def verify_audit(self) -> VerifyAuditResponse:
        """Have the runbook read its whole audit and say whether it is what was written."""
        return await self._run(calls.verify_audit())
