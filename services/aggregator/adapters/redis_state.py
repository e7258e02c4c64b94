"""What each model takes in Redis, told to whoever watches the metrics."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import KEPT_WINDOWS, STATE_BYTES, WINDOW_BYTES
from services.aggregator.adapters.redis_client import ask
from services.aggregator.adapters.redis_keys import ModelKeys, pane_name
from services.aggregator.adapters.redis_windows import starts_of
from services.aggregator.domain.window import window_id
from services.aggregator.ports import ModelDirectory

_log = logging.getLogger(__name__)
_PANES_WEIGHED = 20
_KINDS = "panes", "summaries", "samples"
_STATES = "open", "closed"


@dataclass(frozen=True)
class Weight:
    """Bytes that a model takes in Redis."""

    window_count: int
    by_kind: Mapping[str, int]
    """All its windows'."""
    newest: Mapping[str, int]
    """The newest window's that is open, and the newest closed one's; 0 where there is none."""


@dataclass(frozen=True)
class StateMeter:
    """Weighs all models now and then: panes by some of them, summaries and samples to the byte."""

    client: Redis
    directory: ModelDirectory
    interval_seconds: float
    _told: set[str] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Weigh until cancelled; what fails is logged and tried again."""
        while True:
            try:
                await self.weigh_all()
            except Exception as error:
                _log.warning("cannot weigh what the models take, will try again: %s", error)
            await asyncio.sleep(self.interval_seconds)

    async def weigh_all(self) -> None:
        """Set the gauges of all models, and take those of forgotten ones away.

        Raises:
            DependencyUnavailable, Overloaded: the store cannot be reached, or is slow.
        """
        models = await self.directory.models()
        for model in models:
            _tell(model, await self._weigh(model))
            self._told.add(model)
        for model in self._told - set(models):
            KEPT_WINDOWS.remove(model)
            for kind in _KINDS:
                STATE_BYTES.remove(model, kind)
            for state in _STATES:
                WINDOW_BYTES.remove(model, state)
            self._told.remove(model)

    async def _weigh(self, model: str) -> Weight:
        keys = ModelKeys(model)
        starts = starts_of(await ask(self.client.zrange(keys.windows, 0, -1)))
        windows = [keys.window(start) for start in starts]
        pipeline = self.client.pipeline(transaction=False)
        pipeline.memory_usage(keys.panes, samples=_PANES_WEIGHED)
        for window in windows:
            pipeline.strlen(window.summary)
            pipeline.memory_usage(window.sample, samples=0)
            pipeline.memory_usage(window.folds, samples=0)
        panes, *others = await ask(pipeline.execute())
        summaries = others[::3]
        by_kind = {
            "panes": (panes or 0) + sum(weight or 0 for weight in others[2::3]),
            "summaries": sum(summaries),
            "samples": sum(weight or 0 for weight in others[1::3]),
        }
        closed = [weight for weight in summaries if weight]
        still_open = [start for start, weight in zip(starts, summaries, strict=True) if not weight]
        newest = {
            "closed": closed[-1] if closed else 0,
            "open": await self._open_bytes(keys, still_open[-1]) if still_open else 0,
        }
        return Weight(len(windows), by_kind, newest)

    async def _open_bytes(self, keys: ModelKeys, start: datetime) -> int:
        """Return what the panes of a window take, folded or not."""
        window = keys.window(start)
        blocks = await ask(self.client.smembers(window.blocks))
        pipeline = self.client.pipeline(transaction=False)
        pipeline.memory_usage(window.folds, samples=0)
        for block in blocks:
            pipeline.hstrlen(keys.panes, pane_name(window_id(start), block.decode()))
        folds, *panes = await ask(pipeline.execute())
        return int((folds or 0) + sum(panes))


def _tell(model: str, weight: Weight) -> None:
    KEPT_WINDOWS.labels(model).set(weight.window_count)
    for kind in _KINDS:
        STATE_BYTES.labels(model, kind).set(weight.by_kind[kind])
    for state in _STATES:
        WINDOW_BYTES.labels(model, state).set(weight.newest[state])
