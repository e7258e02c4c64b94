"""What is kept of windows in Redis."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import CORRUPT_VALUES
from services.aggregator.adapters.packing import CHECKSUM_BYTES, unpack_summary, unseal
from services.aggregator.adapters.redis_client import ask
from services.aggregator.adapters.redis_keys import (
    RULE_FIELDS,
    ModelKeys,
    WindowKeys,
    from_micros,
    micros,
    pane_name,
    rules_of,
)
from services.aggregator.adapters.redis_panes import read_fold_state, read_panes, unpack_folds
from services.aggregator.domain.block import Method, Pane, Population
from services.aggregator.domain.calibration import HealthyBand, calibrate
from services.aggregator.domain.errors import CorruptValue, WindowNotFound
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import (
    Interval,
    Window,
    WindowRules,
    WindowState,
    parse_window_id,
    window_id,
    window_name,
)

_log = logging.getLogger(__name__)
_BATCH = b"batch:"


@dataclass(frozen=True)
class RedisWindows:
    """Implements WindowReader and SummaryReader."""

    client: Redis
    rules: WindowRules
    band: HealthyBand
    """Calibrations are judged by it."""

    async def window(self, model: str, start: datetime) -> Window:
        """Return one window."""
        found = await self._read(model, [start])
        if not found:
            raise WindowNotFound(window_name(model, start))
        return found[0]

    async def windows(self, model: str, before: datetime | None, limit: int) -> Sequence[Window]:
        """Return the newest windows that start before `before`, newest first."""
        newest = f"({micros(before)}" if before is not None else "+inf"
        ids = await ask(
            self.client.zrevrangebyscore(ModelKeys(model).windows, newest, "-inf", 0, limit)
        )
        return await self._read(model, starts_of(ids))

    async def panes(self, window: Window) -> Sequence[Pane]:
        """Return the window's panes, folded or not, without those that are corrupt."""
        keys, identifier = _keys(window), window_id(window.interval.start)
        while True:
            state = await read_fold_state(self.client, keys)
            blocks = [] if state.is_closed else state.blocks
            names = [pane_name(identifier, block) for block in blocks]
            found = await read_panes(self.client, window.model, names)
            # What was folded meanwhile is missing here: look again.
            if await ask(self.client.scard(keys.folded)) == state.folded_count:
                break
        folded = await unpack_folds(state, keys)
        return [pane for pane in (*folded, *found) if pane is not None]

    async def summary(self, window: Window) -> Summary | None:
        """Return the window's summary, None if it has none yet."""
        key = _keys(window).summary
        value = await ask(self.client.get(key))
        return None if value is None else await asyncio.to_thread(unpack_summary, value, key)

    async def marks(self, windows: Sequence[Window]) -> Sequence[bytes | None]:
        """Return the checksums of the windows' summaries, None where there is none."""
        pipeline = self.client.pipeline(transaction=False)
        for window in windows:
            pipeline.getrange(_keys(window).summary, 0, CHECKSUM_BYTES - 1)
        return [mark or None for mark in await ask(pipeline.execute())]

    async def summaries(self, windows: Sequence[Window]) -> Sequence[Summary | None]:
        """Return the windows' summaries, None for what is missing or corrupt."""
        keys = [_keys(window).summary for window in windows]
        values = await ask(self.client.mget(keys)) if keys else []
        return await asyncio.to_thread(lambda: list(map(_intact_summary, values, keys)))

    async def sample(self, window: Window, populations: Collection[Population]) -> Sequence[bytes]:
        """Return the Arrow streams that were kept of the populations."""
        keys = _keys(window)
        names: list[bytes] = []
        for population in populations:
            members = await ask(self.client.zrange(keys.sample_order(population.value), 0, -1))
            names += [_BATCH + member.partition(b":")[2] for member in members]
        # A batch may have made room for another in between: then it is missing here.
        kept = await ask(self.client.hmget(keys.sample, names)) if names else []
        return [unseal(value, keys.sample) for value in kept if value is not None]

    async def _read(self, model: str, starts: Sequence[datetime]) -> list[Window]:
        """Return those of the windows that are kept."""
        keys = ModelKeys(model)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hmget(keys.meta, ["watermark", *RULE_FIELDS])
        for start in starts:
            pipeline.hgetall(keys.window(start).state)
        (mark, *own), *states = await ask(pipeline.execute())
        watermark = from_micros(int(mark)) if mark else None
        rules = self.rules.of(rules_of(*own))
        return [
            self._window(model, start, fields, is_past=partial(rules.is_past, watermark=watermark))
            for start, fields in zip(starts, states, strict=True)
            if fields
        ]

    def _window(
        self,
        model: str,
        start: datetime,
        fields: Mapping[bytes, bytes],
        is_past: Callable[[datetime], bool],
    ) -> Window:
        end = from_micros(int(fields[b"end"]))
        is_closed = b"closed" in fields or is_past(end)
        return Window(
            model=model,
            interval=Interval(start, end),
            state=WindowState.CLOSED if is_closed else WindowState.OPEN,
            digest=fields.get(b"digest", b"").decode(),
            method=Method(fields[b"method"].decode()) if b"method" in fields else None,
            considered_count=int(fields.get(b"considered", 0)),
            displayed_count=int(fields.get(b"displayed", 0)),
            calibration=calibrate(
                float(fields.get(b"expected", 0)), int(fields.get(b"observed", 0)), self.band
            ),
        )


def starts_of(ids: Sequence[bytes]) -> list[datetime]:
    """Return the starts of the windows with these ids."""
    return [parse_window_id(identifier.decode()) for identifier in ids]


def _keys(window: Window) -> WindowKeys:
    return ModelKeys(window.model).window(window.interval.start)


def _intact_summary(value: bytes | None, key: str) -> Summary | None:
    try:
        return None if value is None else unpack_summary(value, key)
    except CorruptValue as error:
        CORRUPT_VALUES.labels("summary").inc()
        _log.error("left out a corrupt value", extra={"kind": "summary", "why": str(error)})
        return None
