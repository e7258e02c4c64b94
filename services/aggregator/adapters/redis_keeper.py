"""Windows through their life in Redis."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import STORED_BYTES
from services.aggregator.adapters.packing import pack_summary
from services.aggregator.adapters.redis_client import Script
from services.aggregator.adapters.redis_keys import ModelKeys
from services.aggregator.adapters.redis_windows import starts_of
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import Window, WindowRules, window_id
from services.aggregator.ports import Work

_work = Script("work", only_reads=True)
_acquire = Script("acquire")
_release = Script("release")
_close = Script("close")
_forget = Script("forget")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class RedisKeeper:
    """Implements WindowKeeper. Each instance is a replica of its own."""

    client: Redis
    rules: WindowRules
    replica: str = field(default_factory=lambda: uuid4().hex)

    async def work(self, model: str) -> Work:
        """Return what is left to do for the model."""
        keys = ModelKeys(model)
        answer = await _work(
            self.client,
            [keys.meta, keys.windows, keys.open, keys.reported],
            [
                self.rules.allowed_lateness // _MICROSECOND,
                int(self.rules.retention.total_seconds()),
                self.rules.length // _MICROSECOND,
            ],
        )
        return Work(*(starts_of(ids) for ids in answer))

    async def acquire(self, model: str, lease: timedelta) -> bool:
        """Take or extend the lease on the model's work."""
        milliseconds = lease // timedelta(milliseconds=1)
        lease_key = ModelKeys(model).lease
        return bool(await _acquire(self.client, [lease_key], [self.replica, milliseconds]))

    async def release(self, model: str) -> None:
        """Give the lease back if it is ours."""
        await _release(self.client, [ModelKeys(model).lease], [self.replica])

    async def close(self, window: Window, summary: Summary) -> bool:
        """Keep the summary and let the panes go."""
        of_model = ModelKeys(window.model)
        of_window = of_model.window(window.interval.start)
        keys = [
            *(of_model.open, of_window.state, of_window.summary),
            *(of_model.panes, *of_model.latest_orders, of_window.blocks, of_model.meta),
            *(of_window.folded, of_window.folds),
        ]
        retention = int(self.rules.retention.total_seconds())
        packed = await asyncio.to_thread(pack_summary, summary)
        answer = await _close(
            self.client, keys, [window_id(window.interval.start), packed, retention]
        )
        if answer:
            STORED_BYTES.labels("summary").inc(len(packed))
        return bool(answer)

    async def forget(self, model: str, start: datetime) -> None:
        """Delete all that is kept of a window."""
        keys = ModelKeys(model)
        of_window = keys.window(start)
        await _forget(
            self.client,
            [
                *(keys.windows, keys.open, keys.reported),
                *(keys.panes, *keys.latest_orders),
                *(of_window.blocks, *of_window.others),
            ],
            [window_id(start)],
        )
