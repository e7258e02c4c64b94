"""What the client asks of the runbook."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from aftershock import _methods as methods
from aftershock import _runbook_calls as calls
from aftershock._backoff import Backoff
from aftershock._caller import Caller
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


class RunbookClient(Caller):
    """Incidents, decisions, policies and the audit."""

    def incidents(self, model: str | None = None, *, limit: int | None = None) -> list[Incident]:
        """Return incidents of a model, or of all where neither call nor client names one."""
        return self._run(calls.list_incidents(self._filter(model), limit))

    def incident(self, name: str) -> Incident:
        """Return an incident by its id or name."""
        return self._run(calls.get_incident(name))

    def watch_incidents(self, model: str | None = None) -> Iterator[Incident]:
        """Yield each incident as it is now, then whenever it changes.

        Ends when the client is closed. A broken stream is opened again, and what was yielded before
        is not repeated.
        """
        call = Call(methods.WATCH_INCIDENTS, WatchIncidentsRequest(model=self._filter(model)))
        news, backoff = IncidentNews(), Backoff()
        while True:
            try:
                for answer in self._stream(call):
                    backoff.reset()
                    if news.is_news(answer.incident):
                        yield answer.incident
            except Unavailable as error:
                if not self._channels.closed.is_set():
                    logger.warning("%s; trying again", error)
            if self._channels.closed.wait(backoff.pause()):
                return

    def approve(self, mitigation: Mitigation | str, reason: str = "") -> Mitigation:
        """Approve a proposed mitigation.

        Args:
            mitigation: as it was seen: the approval holds for that plan and no other. Or the name
                of a mitigation, or of an incident that has one proposal: whatever it proposes now.
            reason: kept in the incident's timeline.

        Raises:
            Conflict: the plan changed since, or the mitigation is not proposed any more.
            NotAllowed: the caller is no approver.
        """
        return self._run(calls.approve(mitigation, reason))

    def reject(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Reject a proposed mitigation, named as in `approve`."""
        return self._run(calls.reject(mitigation, reason))

    def revert(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Undo a mitigation in force: itself, its name, or an incident that has one."""
        return self._run(calls.revert(mitigation, reason))

    def renew(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Extend the lease of a kill: itself, its name, or an incident that has one in force.

        One that is being released is put in force again. A mitigation that has changed since it was
        read is refused.
        """
        return self._run(calls.renew(mitigation, reason))

    def release(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Serve an effective kill's features again by stages; named, and refused, as in `renew`."""
        return self._run(calls.release(mitigation, reason))

    def pause(self, reason: str) -> Pause:
        """Stop all mitigations, of all models. Undoing stays possible."""
        return self._run(calls.pause(reason))

    def resume(self, reason: str) -> Pause:
        """Let mitigations go on."""
        return self._run(calls.resume(reason))

    def pause_state(self) -> Pause:
        """Return whether mitigations are stopped, by whom and why."""
        return self._run(calls.get_pause())

    def snooze(self, incident: str, duration: timedelta, reason: str = "") -> Incident:
        """Call nobody about an incident for a while. Its proposals expire as ever."""
        return self._run(calls.snooze(incident, duration, reason))

    def claim_surface(self, name: str, *, holder: str, lease: timedelta) -> Surface:
        """Become the only bot that shows an incident in a room, for the length of a lease.

        Args:
            name: `incidents/{incident}/surfaces/{surface}`; the surface names the room.
            holder: names this run of the bot; its own claim is extended.
            lease: after which another bot may claim it.

        Raises:
            Conflict: another bot holds it, for `retry_after` seconds more.
            NotAllowed: the caller is no delegate.
        """
        return self._run(calls.claim_surface(name, holder, lease))

    def record_surface(self, surface: Surface, *, release: bool = False) -> Surface:
        """Keep where an incident's message is, as its holder knows it, and perhaps end the claim.

        Raises:
            Conflict: somebody has claimed or recorded it since.
        """
        return self._run(calls.record_surface(surface, release=release))

    def check_policy(self, file: str | Path) -> CheckPolicyResponse:
        """Return what is wrong with a policy file of this machine, or what is in it."""
        return self._run(calls.check_policy(file))

    def replay_policy(
        self, file: str | Path, model: str | None = None, *, limit: int = 100
    ) -> list[ReplayedIncident]:
        """Return the newest incidents with what a policy file would have done, and what was done.

        Raises:
            InvalidRequest: the runbook cannot follow the file.
        """
        return self._run(calls.replay_policy(file, self._filter(model), limit))

    def verify_audit(self) -> VerifyAuditResponse:
        """Have the runbook read its whole audit and say whether it is what was written."""
        return self._run(calls.verify_audit())
