"""Events of the timeline in Redis, all under one hash tag that no model's name can be.

as:{:timeline}:all             zset     ids of all events by time
as:{:timeline}:node:<node>     zset     ids of the node's events by time
as:{:timeline}:event:<id>      value    sealed TimelineEvent message, until it is too old
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from aftershock.v1 import lineage_pb2 as pb
from services.aggregator.adapters.metrics import CORRUPT_VALUES
from services.aggregator.adapters.packing import seal, unseal
from services.aggregator.adapters.redis_client import Script, ask
from services.aggregator.adapters.redis_keys import micros
from services.aggregator.adapters.timeline_messages import event_message, event_of
from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.lineage.facts import TimelineEvent
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.lineage_ports import EventPosition, EventQuery

_log = logging.getLogger(__name__)
_record = Script("record_events")
_AT_ONCE = 500
_TAG = "as:{:timeline}"
_ALL = f"{_TAG}:all"
_DAY = timedelta(days=1)
_MILLISECOND = timedelta(milliseconds=1)
_Position = tuple[int, bytes]
"""Time in microseconds, and id."""


@dataclass(frozen=True)
class RedisTimeline:
    """Implements Timeline."""

    client: Redis
    retention: timedelta
    """How long an event is kept, by its own time."""
    now: Callable[[], datetime]

    async def record(self, events: Sequence[TimelineEvent]) -> int:
        """Keep the events, each once by its id; return how many were new."""
        oldest = self.now() - self.retention
        recent = [event for event in events if event.time > oldest]
        recorded = 0
        for first in range(0, len(recent), _AT_ONCE):
            recorded += await self._record(recent[first : first + _AT_ONCE], oldest)
        return recorded

    async def events(
        self, query: EventQuery, limit: int, after: EventPosition | None = None
    ) -> Sequence[TimelineEvent]:
        """Return events, the latest first."""
        reached = (micros(after.time), after.event_id.encode()) if after else None
        found: list[TimelineEvent] = []
        while len(found) < limit:
            positions = await self._positions(query, limit, reached)
            events = await self._read([identifier for _, identifier in positions])
            found.extend(e for e in events if not query.kinds or e.kind in query.kinds)
            if len(positions) < limit:
                break
            reached = positions[-1]
        return found[:limit]

    async def _record(self, events: Sequence[TimelineEvent], oldest: datetime) -> int:
        keys, arguments = [_ALL], [micros(oldest), (self.retention + _DAY) // _MILLISECOND]
        values: list[int | str | bytes] = [*arguments]
        for event in events:
            keys += [_event_key(event.event_id), _node_key(event.node)]
            kept_for = max((event.time - oldest) // _MILLISECOND, 1)
            value = seal(event_message(event).SerializeToString())
            values += [event.event_id, micros(event.time), kept_for, value]
        return int(await _record(self.client, keys, values))

    async def _positions(
        self, query: EventQuery, limit: int, reached: _Position | None
    ) -> list[_Position]:
        """Return where the next events are, the latest first."""
        orders = [_ALL] if query.nodes is None else [_node_key(node) for node in query.nodes]
        found: set[_Position] = set()
        for first in range(0, len(orders), _AT_ONCE):
            found |= await self._after(orders[first : first + _AT_ONCE], query, limit, reached)
        return sorted(found, reverse=True)[:limit]

    async def _after(
        self, orders: Collection[str], query: EventQuery, limit: int, reached: _Position | None
    ) -> set[_Position]:
        earliest: int | str = "-inf" if query.start is None else micros(query.start)
        latest = "+inf" if query.end is None else f"({micros(query.end)}"
        pipeline: Any = self.client.pipeline(transaction=False)
        for order in orders:
            if reached is not None:
                latest = f"({reached[0]}"
                pipeline.zrevrangebyscore(order, reached[0], reached[0], withscores=True)
            pipeline.zrevrangebyscore(order, latest, earliest, start=0, num=limit, withscores=True)
        answers = await ask(pipeline.execute())
        positions = {(int(time), member) for answer in answers for member, time in answer}
        return {position for position in positions if reached is None or position < reached}

    async def _read(self, identifiers: Iterable[bytes]) -> list[TimelineEvent]:
        keys = [_event_key(identifier.decode()) for identifier in identifiers]
        values = await ask(self.client.mget(keys)) if keys else []
        pairs = zip(keys, values, strict=True)
        # One that is gone is too old; its id goes with the next event that comes.
        read = (_opened(key, value) for key, value in pairs if value is not None)
        return [event for event in read if event is not None]


def _opened(key: str, value: bytes) -> TimelineEvent | None:
    try:
        payload = unseal(value, key)
    except CorruptValue:
        CORRUPT_VALUES.labels("timeline").inc()
        _log.error("left out a corrupt event", extra={"key": key})
        return None
    return event_of(pb.TimelineEvent.FromString(payload), key)


def _event_key(identifier: str) -> str:
    return f"{_TAG}:event:{identifier}"


def _node_key(node: NodeId) -> str:
    return f"{_TAG}:node:{node}"
