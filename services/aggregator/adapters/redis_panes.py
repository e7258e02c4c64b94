"""Packed panes out of Redis: of windows of event time, and of the latest window."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import CORRUPT_VALUES
from services.aggregator.adapters.packed_panes import unpack_pane
from services.aggregator.adapters.redis_client import Script, ask
from services.aggregator.adapters.redis_keys import ModelKeys, WindowKeys, from_micros
from services.aggregator.domain.block import Method, Pane
from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.latest import LatestPanes, PaneEntry, in_order

_log = logging.getLogger(__name__)
_PANES_AT_ONCE = 32
_unfolded = Script("unfolded", only_reads=True)


async def read_panes(client: Redis, model: str, names: Sequence[str]) -> list[Pane | None]:
    """Return the panes by their names, None for what is not there or corrupt."""
    key = ModelKeys(model).panes
    panes: list[Pane | None] = []
    for first in range(0, len(names), _PANES_AT_ONCE):
        some = names[first : first + _PANES_AT_ONCE]
        values = await ask(client.hmget(key, list(some)))
        panes += await asyncio.to_thread(_intact, values, some)
    return panes


@dataclass(frozen=True)
class FoldState:
    """What of a window was folded, at one moment."""

    blocks: Sequence[str]
    """Ids of those that were not, sorted."""
    folds: Sequence[bytes]
    """What the others were folded into, packed."""
    folded_count: int
    """How many blocks those are."""
    is_closed: bool


async def read_fold_state(client: Redis, keys: WindowKeys) -> FoldState:
    """Return what of the window was folded."""
    names = [keys.state, keys.blocks, keys.folded, keys.folds]
    blocks, folds, folded_count, is_closed = await _unfolded(client, names, [])
    return FoldState(
        sorted(block.decode() for block in blocks), folds, folded_count, bool(is_closed)
    )


async def unpack_folds(state: FoldState, keys: WindowKeys) -> list[Pane | None]:
    """Return what was folded, None for what is corrupt."""
    return await asyncio.to_thread(_intact, state.folds, [keys.folds] * len(state.folds))


@dataclass(frozen=True)
class RedisLatest:
    """Implements LatestReader."""

    client: Redis

    async def latest(self, model: str) -> LatestPanes | None:
        """Return what the model's latest window holds, None if nothing."""
        keys = ModelKeys(model)
        while True:
            pipeline = self.client.pipeline(transaction=False)
            pipeline.hgetall(keys.latest)
            for order in keys.latest_orders:
                pipeline.zrange(order, 0, -1, withscores=True)
            pipeline.smembers(keys.latest_waiting)
            pipeline.hget(keys.latest, "step")
            fields, considered, displayed, waiting, step = await ask(pipeline.execute())
            # What entered in between waited before: the window is that of one step.
            if step == fields.get(b"step"):
                break
        members = [(m, time) for m, time in (*considered, *displayed) if m not in waiting]
        return _latest(fields, members) if members else None

    async def latest_panes(self, model: str, entries: Sequence[PaneEntry]) -> Sequence[Pane | None]:
        """Return these panes in their order, None for what has left since or is corrupt."""
        return await read_panes(self.client, model, [entry.name for entry in entries])


def _latest(fields: dict[bytes, bytes], members: Sequence[tuple[bytes, float]]) -> LatestPanes:
    digest, _, method = fields[b"scored"].decode().partition(":")
    since = fields.get(b"since")
    return LatestPanes(
        step=int(fields[b"step"]),
        digest=digest,
        method=Method(method),
        entries=in_order(_entry(member.decode(), time) for member, time in members),
        restart_time=from_micros(int(since)) if since else None,
    )


def _entry(member: str, time: float) -> PaneEntry:
    examples, _, name = member.partition(":")
    return PaneEntry(from_micros(int(time)), name, int(examples))


def _intact(values: Sequence[Any], names: Sequence[str]) -> list[Pane | None]:
    return [_intact_pane(value, name) for value, name in zip(values, names, strict=True)]


def _intact_pane(value: bytes | None, name: str) -> Pane | None:
    try:
        return None if value is None else unpack_pane(value, name)
    except CorruptValue as error:
        CORRUPT_VALUES.labels("pane").inc()
        _log.error("left out a corrupt value", extra={"kind": "pane", "why": str(error)})
        return None
