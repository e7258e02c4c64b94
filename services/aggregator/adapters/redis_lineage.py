"""The log of lineage and its snapshots in Redis, under one hash tag that no model's name can be.

as:{:lineage}:log                    stream   facts: fields `facts`, a RegisterLineageRequest
                                              message, and `crc32` of it
as:{:lineage}:keys                   zset     keys of facts by the time of their recording
as:{:lineage}:snapshot               hash     `generation`, `parts`, `cursor` that it goes up to,
                                              `forgotten`: up to where the log is gone
as:{:lineage}:part:<generation>:<n>  value    sealed piece of the packed graph
"""

import asyncio
import logging
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from aftershock.v1 import lineage_service_pb2 as pb
from services.aggregator.adapters.lineage_messages import facts_message, facts_of
from services.aggregator.adapters.metrics import CORRUPT_VALUES
from services.aggregator.adapters.packed_graph import pack_graph, unpack_graph
from services.aggregator.adapters.packing import seal, unseal
from services.aggregator.adapters.redis_client import Script, ask
from services.aggregator.domain.lineage.errors import InvalidFacts, InvalidNode, LogForgotten
from services.aggregator.domain.lineage.facts import LineageFacts
from services.aggregator.domain.lineage.spans import micros
from services.aggregator.domain.lineage.state import GraphState
from services.aggregator.lineage_ports import FactsReading
from services.chassis.errors import InvalidRequest

_log = logging.getLogger(__name__)
_record = Script("record_facts")
_keep = Script("keep_snapshot")
_TAG = "as:{:lineage}"
_LOG, _KEYS, _SNAPSHOT = f"{_TAG}:log", f"{_TAG}:keys", f"{_TAG}:snapshot"
_FROM_THE_FIRST = "0-0"
_AT_ONCE = 200
_AT_HAND = 64
_PART_BYTES = 4 * 1024 * 1024
_UNKEPT = timedelta(hours=1)
"""How long parts of a snapshot stay that was never finished."""


@dataclass(frozen=True)
class RedisLineage:
    """Implements LineageLog and GraphSnapshots. Cursors are the ids of the log's entries.

    The log begins where the snapshot before the latest ended, and never expires.
    """

    client: Redis
    keys_kept: timedelta
    """How long facts that come again are known by their key."""
    now: Callable[[], datetime]
    _recorded: OrderedDict[bytes, LineageFacts] = field(default_factory=OrderedDict, init=False)
    """What this replica recorded lately and has not read yet, by payload: who wrote it need not
    decode it."""

    async def record(self, facts: LineageFacts) -> bool:
        """Append the facts; False if facts of this key were recorded before."""
        payload = await asyncio.to_thread(lambda: facts_message(facts).SerializeToString())
        while len(self._recorded) >= _AT_HAND:
            self._recorded.popitem(last=False)
        self._recorded[payload] = facts
        now = self.now()
        oldest = micros(now - self.keys_kept)
        arguments: list[str | bytes | int] = [
            facts.key,
            micros(now),
            oldest,
            payload,
            zlib.crc32(payload),
        ]
        is_new = bool(await _record(self.client, [_LOG, _KEYS], arguments))
        if not is_new:
            self._recorded.pop(payload, None)
        return is_new

    async def read(self, cursor: str) -> FactsReading:
        """Return facts after the cursor."""
        start = cursor or _FROM_THE_FIRST
        pipeline: Any = self.client.pipeline(transaction=True)
        pipeline.hget(_SNAPSHOT, "forgotten")
        pipeline.xrange(_LOG, min=f"({start}", count=_AT_ONCE)
        forgotten, entries = await ask(pipeline.execute())
        if forgotten and _place(start) < _place(forgotten.decode()):
            raise LogForgotten
        if not entries:
            return FactsReading([], cursor)
        facts = await asyncio.to_thread(lambda: [self._intact(*entry) for entry in entries])
        kept = [found for found in facts if found is not None]
        return FactsReading(kept, entries[-1][0].decode())

    def _intact(self, cursor: bytes, fields: Mapping[bytes, bytes]) -> LineageFacts | None:
        payload = fields.get(b"facts", b"")
        if fields.get(b"crc32") != str(zlib.crc32(payload)).encode():
            CORRUPT_VALUES.labels("lineage").inc()
            _log.error("left out corrupt lineage", extra={"cursor": cursor.decode()})
            return None
        own = self._recorded.pop(payload, None)
        if own is not None:
            return own
        try:
            return facts_of(pb.RegisterLineageRequest.FromString(payload), self.now())
        except (InvalidFacts, InvalidNode, InvalidRequest) as error:
            # By rules that came later: whoever follows the log must get past it.
            _log.error("left out unreadable lineage: %s", error, extra={"cursor": cursor.decode()})
            return None

    async def load(self) -> tuple[GraphState, str] | None:
        """Return the state and the log's cursor that it goes up to."""
        generation, parts, cursor = await ask(
            self.client.hmget(_SNAPSHOT, ["generation", "parts", "cursor"])
        )
        if generation is None:
            return None
        keys = _parts(generation.decode(), int(parts))
        pieces = [unseal(await ask(self.client.get(key)) or b"", key) for key in keys]
        return await asyncio.to_thread(unpack_graph, b"".join(pieces)), cursor.decode()

    async def save(self, state: GraphState, cursor: str) -> bool:
        """Keep the state and let the log go up to the cursor; False if a later one is kept."""
        payload = await asyncio.to_thread(pack_graph, state)
        starts = range(0, len(payload), _PART_BYTES)
        generation = uuid4().hex
        keys = _parts(generation, len(starts))
        for key, start in zip(keys, starts, strict=True):
            piece = seal(payload[start : start + _PART_BYTES])
            await ask(self.client.set(key, piece, ex=int(_UNKEPT.total_seconds())))
        place = _place(cursor or _FROM_THE_FIRST)
        old, count = await _keep(self.client, [_LOG, _SNAPSHOT, *keys], [generation, *place])
        if count:
            await ask(self.client.unlink(*_parts(old.decode(), count)))
        return bool(old.decode() != generation)


def _parts(generation: str, count: int) -> list[str]:
    return [f"{_TAG}:part:{generation}:{number}" for number in range(count)]


def _place(cursor: str) -> tuple[int, int]:
    time, _, number = cursor.partition("-")
    return int(time), int(number)
