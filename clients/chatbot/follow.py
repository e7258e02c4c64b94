"""Every incident that changes -> its message is made true."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aftershock.v1.incident_pb2 import Incident, IncidentState
from clients.chatbot.ports import (
    ChatRefused,
    ChatUnavailable,
    RunbookUnavailable,
    SurfaceBusy,
    Watching,
)
from clients.chatbot.show import Show

_log = logging.getLogger(__name__)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_OTHER_BOT_SECONDS = 1.0


class Follow:
    """Shows incidents in the order in which they changed, each as it is by then.

    While the chat system or the runbook is away nothing is lost: the newest state of each incident
    waits, and what happened meanwhile is in its timeline.
    """

    def __init__(
        self,
        watching: Watching,
        show: Show,
        *,
        catch_up: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        """Keep to one room.

        Args:
            watching: where incidents come from.
            show: into the room.
            catch_up: closed incidents that nothing happened to for so long are left alone.
            now: the time, UTC.
        """
        self._watching = watching
        self._show = show
        self._catch_up = catch_up
        self._now = now
        self._waiting: dict[str, Incident] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._work())

    async def _listen(self) -> None:
        async for incident in self._watching.changes():
            if not self._is_history(incident):
                self._waiting[incident.name] = incident
                self._news.set()

    def _is_history(self, incident: Incident) -> bool:
        if incident.state == IncidentState.INCIDENT_STATE_OPEN or not incident.timeline:
            return False
        return incident.timeline[-1].time.ToDatetime(UTC) < self._now() - self._catch_up

    async def _work(self) -> None:
        backoff = _SHORTEST_PAUSE
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                asked = await self._first()
                if asked is None:
                    backoff = _SHORTEST_PAUSE
                    continue
                await asyncio.sleep(max(asked, backoff))
                backoff = min(2 * backoff, _LONGEST_PAUSE)

    async def _first(self) -> float | None:
        """Show the incident that waits longest; return how long to wait at least before going on,
        None if it was shown."""
        name = next(iter(self._waiting))
        incident = self._waiting[name]
        try:
            await self._show(incident)
        except SurfaceBusy:
            # The other bot shows it, unless it dies: look again, after the others.
            self._waiting[name] = self._waiting.pop(name)
            await asyncio.sleep(_OTHER_BOT_SECONDS)
            return None
        except (ChatUnavailable, RunbookUnavailable) as error:
            _log.warning("%s: %s; trying again", name, error)
            return error.retry_after
        except ChatRefused as error:
            _log.error("%s cannot be shown: %s", name, error)
        if self._waiting.get(name) is incident:
            del self._waiting[name]
        return None
