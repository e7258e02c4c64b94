"""Events in one Redis Stream a model: fields `event`, a ShiftEvent message, and `crc32` of it."""

import asyncio
import logging
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import CORRUPT_VALUES
from services.aggregator.adapters.packed_events import pack_event, unpack_event
from services.aggregator.adapters.redis_client import Script, ask, spans_servers
from services.aggregator.adapters.redis_keys import ModelKeys
from services.aggregator.domain.errors import InvalidPosition
from services.aggregator.domain.shift import ShiftEvent
from services.aggregator.domain.window import window_id
from services.aggregator.ports import OLDEST, PublishedEvent, Reading

_publish = Script("publish")
_log = logging.getLogger(__name__)
_MOST_EVENTS = 10_000
_EVENTS_AT_ONCE = 100
_POLL_SECONDS = 0.2
_CURSOR = re.compile(r"\d{1,19}-\d{1,19}")


@dataclass(frozen=True)
class RedisShifts:
    """Implements ShiftPublisher and ShiftReader. Cursors are the ids of the streams' entries."""

    client: Redis
    retention: timedelta

    async def publish(self, event: ShiftEvent) -> bool:
        """Append the event of a window; False if one was published for it before."""
        window = event.window
        keys = ModelKeys(window.model)
        payload = pack_event(event)
        answer = await _publish(
            self.client,
            [keys.reported, keys.window(window.interval.start).state, keys.shifts, keys.meta],
            [
                *(window_id(window.interval.start), payload, zlib.crc32(payload)),
                *(_MOST_EVENTS, int(self.retention.total_seconds())),
            ],
        )
        return bool(answer)

    async def read(
        self, models: Sequence[str], cursors: Mapping[str, str], wait: timedelta
    ) -> Reading:
        """Return events after each model's cursor, waiting at most `wait` for the first one."""
        if not models:
            await asyncio.sleep(wait.total_seconds())
            return Reading([], {})
        streams: dict[Any, Any] = {
            ModelKeys(model).shifts: _checked(cursors.get(model, OLDEST), model) for model in models
        }
        answer = await self._entries(streams, wait)
        events: list[PublishedEvent] = []
        reached: dict[str, str] = {}
        for model in models:
            entries = answer.get(ModelKeys(model).shifts.encode(), [])
            events.extend(found for entry in entries if (found := _intact(*entry)) is not None)
            if entries:
                reached[model] = entries[-1][0].decode()
        return Reading(events, reached)

    async def _entries(self, streams: Mapping[Any, Any], wait: timedelta) -> Mapping[Any, Any]:
        """Return the next entries by stream, empty when there are none in time."""
        if spans_servers(self.client):
            return await self._polled(streams, wait)
        milliseconds = max(wait // timedelta(milliseconds=1), 1)
        command = self.client.xread({**streams}, count=_EVENTS_AT_ONCE, block=milliseconds)
        return dict(await ask(command) or [])

    async def _polled(self, streams: Mapping[Any, Any], wait: timedelta) -> Mapping[Any, Any]:
        """Look again and again: no command waits for streams on several servers."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait.total_seconds()
        while True:
            pipeline = self.client.pipeline(transaction=False)
            for stream, cursor in streams.items():
                pipeline.xread({stream: cursor}, count=_EVENTS_AT_ONCE)
            found = [entry for answer in await ask(pipeline.execute()) for entry in answer or []]
            left = deadline - loop.time()
            if found or left <= 0:
                return dict(found)
            await asyncio.sleep(min(left, _POLL_SECONDS))


def _checked(cursor: str, model: str) -> str:
    if not _CURSOR.fullmatch(cursor):
        raise InvalidPosition(
            f"{cursor!r} is not a cursor: pass back the one of the last event, or none",
            field=f"cursors[models/{model}]",
        )
    return cursor


def _intact(cursor: bytes, fields: Mapping[bytes, bytes]) -> PublishedEvent | None:
    payload = fields.get(b"event", b"")
    if fields.get(b"crc32") != str(zlib.crc32(payload)).encode():
        CORRUPT_VALUES.labels("event").inc()
        _log.error("left out a corrupt event", extra={"cursor": cursor.decode()})
        return None
    return PublishedEvent(cursor.decode(), unpack_event(payload))
