"""The runbook, through the SDK: what bots watch, keep and pass on."""

from collections.abc import AsyncGenerator, Awaitable, Sequence
from datetime import UTC, timedelta
from typing import TypeVar

import aftershock
from aftershock import aio
from aftershock.v1.incident_pb2 import Incident, Mitigation
from aftershock.v1.surface_pb2 import Surface
from clients.chatbot.core.decision import Target
from clients.chatbot.ports import Refused, RunbookUnavailable, SurfaceBusy

T = TypeVar("T")
LEASE = timedelta(seconds=30)


class SdkWatching:
    """Incidents, read with the bot's own token (role `reader`)."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def changes(self) -> AsyncGenerator[Incident]:
        """Yield each incident as it is now, then whenever it changes, without end."""
        async for incident in self._client.watch_incidents():
            yield incident


class SdkReading:
    """Incidents, read in people's names: the bot's token needs the role `delegate`."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def incident(self, identity: str, name: str) -> Incident:
        """Return one."""
        return await _answer(self._client.acting_for(identity).incident(name))

    async def newest(self, identity: str, model: str | None, limit: int) -> Sequence[Incident]:
        """Return the newest, first."""
        return await _answer(self._client.acting_for(identity).incidents(model, limit=limit))

    async def paused(self, identity: str) -> str:
        """Return who stopped all mitigations and why; empty if nobody did."""
        pause = await _answer(self._client.acting_for(identity).pause_state())
        if not pause.paused:
            return ""
        since = f"{pause.time.ToDatetime(UTC):%d %b %H:%M} UTC"
        return f"since {since} by {pause.actor}: {pause.reason}"


class SdkSurfaces:
    """Where messages are, kept under the bot's own token (role `delegate`)."""

    def __init__(self, client: aio.Client, holder: str, lease: timedelta = LEASE) -> None:
        """Claim as one holder.

        Args:
            client: of the bot.
            holder: names this run of the bot; no two runs share one.
            lease: after which another bot may take over.
        """
        self._client = client
        self._holder = holder
        self._lease = lease

    async def claim(self, name: str) -> Surface:
        """Become the only one that brings it up to date."""
        claim = self._client.claim_surface(name, holder=self._holder, lease=self._lease)
        return await _held(claim)

    async def record(self, surface: Surface, *, release: bool) -> Surface:
        """Keep it as it is now."""
        return await _held(self._client.record_surface(surface, release=release))


class SdkDeciding:
    """Decisions in people's names: the bot's token needs the role `delegate`."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def approve(self, identity: str, target: Target) -> None:
        """Say yes to the plan."""
        await _answer(self._client.acting_for(identity).approve(_plan(target)))

    async def reject(self, identity: str, target: Target, reason: str) -> None:
        """Say no to the plan."""
        await _answer(self._client.acting_for(identity).reject(_plan(target), reason))

    async def snooze(self, identity: str, target: Target, minutes: int) -> None:
        """Call nobody about the incident for a while."""
        quiet = timedelta(minutes=minutes)
        await _answer(self._client.acting_for(identity).snooze(target.incident, quiet))

    async def pause(self, identity: str, reason: str) -> None:
        """Stop all mitigations."""
        await _answer(self._client.acting_for(identity).pause(reason))

    async def resume(self, identity: str, reason: str) -> None:
        """Let them go on."""
        await _answer(self._client.acting_for(identity).resume(reason))


class SdkSteering:
    """What becomes of mitigations in force, in people's names: needs the role `delegate`."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def renew(self, identity: str, target: Target, reason: str) -> None:
        """Begin its lease anew, or put in force again what is being released."""
        await _answer(self._client.acting_for(identity).renew(_in_force(target), reason))

    async def release(self, identity: str, target: Target, reason: str) -> None:
        """Serve its features again by stages."""
        await _answer(self._client.acting_for(identity).release(_in_force(target), reason))

    async def revert(self, identity: str, target: Target, reason: str) -> None:
        """Undo it."""
        await _answer(self._client.acting_for(identity).revert(_in_force(target), reason))


def _in_force(target: Target) -> Mitigation:
    return Mitigation(name=target.mitigation, etag=target.seen)


def _plan(target: Target) -> Mitigation:
    return Mitigation(name=target.mitigation, plan_hash=target.seen)


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except aftershock.Unavailable as error:
        raise RunbookUnavailable(str(error)) from error
    except aftershock.ServiceError as error:
        raise Refused(str(error)) from error


async def _held(call: Awaitable[Surface]) -> Surface:
    try:
        return await call
    except aftershock.Conflict as error:
        raise SurfaceBusy(str(error), error.retry_after or 1.0) from error
    except aftershock.Unavailable as error:
        raise RunbookUnavailable(str(error)) from error
