"""What each model takes in Redis, told to whoever watches the metrics."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import KEPT_WINDOWS, STATE_BYTES
from services.aggregator.adapters.redis_client import ask
from services.aggregator.adapters.redis_keys import ModelKeys
from services.aggregator.adapters.redis_windows import starts_of
from services.aggregator.ports import ModelDirectory

_log = logging.getLogger(__name__)
_PANES_WEIGHED = 20


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
            window_count, weights = await self._weigh(model)
            KEPT_WINDOWS.labels(model).set(window_count)
            for kind, weight in weights.items():
                STATE_BYTES.labels(model, kind).set(weight)
                self._told.add(model)
        for model in self._told - set(models):
            KEPT_WINDOWS.remove(model)
            for kind in ("panes", "summaries", "samples"):
                STATE_BYTES.remove(model, kind)
            self._told.remove(model)

    async def _weigh(self, model: str) -> tuple[int, Mapping[str, int]]:
        keys = ModelKeys(model)
        windows = [
            keys.window(start)
            for start in starts_of(await ask(self.client.zrange(keys.windows, 0, -1)))
        ]
        pipeline = self.client.pipeline(transaction=False)
        pipeline.memory_usage(keys.panes, samples=_PANES_WEIGHED)
        for window in windows:
            pipeline.strlen(window.summary)
            pipeline.memory_usage(window.sample, samples=0)
            pipeline.memory_usage(window.folds, samples=0)
        panes, *others = await ask(pipeline.execute())
        return len(windows), {
            "panes": (panes or 0) + sum(weight or 0 for weight in others[2::3]),
            "summaries": sum(others[::3]),
            "samples": sum(weight or 0 for weight in others[1::3]),
        }
