"""Folding the panes of large windows in Redis."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import STORED_BYTES
from services.aggregator.adapters.packed_panes import pack_pane
from services.aggregator.adapters.redis_client import Script, ask
from services.aggregator.adapters.redis_keys import ModelKeys, pane_name
from services.aggregator.adapters.redis_panes import read_fold_state, read_panes, unpack_folds
from services.aggregator.adapters.redis_windows import RedisWindows, starts_of
from services.aggregator.domain.block import Pane
from services.aggregator.domain.errors import WindowNotFound
from services.aggregator.domain.window import Window, WindowState, window_id
from services.aggregator.ports import Unfolded

_fold = Script("fold")


@dataclass(frozen=True)
class RedisFolds:
    """Implements FoldStore."""

    client: Redis
    windows: RedisWindows

    async def larger_than(self, model: str, examples: int) -> Sequence[Window]:
        """Return the model's windows without a summary that hold more examples."""
        ids = await ask(self.client.zrange(ModelKeys(model).open, 0, -1))
        found = []
        for start in starts_of(ids):
            try:
                window = await self.windows.window(model, start)
            except WindowNotFound:
                # Its retention ran out while its name was still listed.
                continue
            if window.state is WindowState.OPEN and window.example_count > examples:
                found.append(window)
        return found

    async def unfolded(self, window: Window, count: int) -> Unfolded | None:
        """Return `count` blocks of the window that the latest window does not hold."""
        of_model = ModelKeys(window.model)
        keys = of_model.window(window.interval.start)
        state = await read_fold_state(self.client, keys)
        # Read after the blocks: what comes to the latest window now is none of them.
        held = await self._held(of_model)
        identifier = window_id(window.interval.start)
        names = {pane_name(identifier, block): block for block in state.blocks}
        chosen = [name for name in names if name not in held][:count]
        if len(chosen) < count:
            return None
        panes = [
            *await unpack_folds(state, keys),
            *await read_panes(self.client, window.model, chosen),
        ]
        intact = [pane for pane in panes if pane is not None]
        return Unfolded([names[name] for name in chosen], intact, state.folded_count)

    async def _held(self, keys: ModelKeys) -> set[str]:
        """Return the names of the panes that the latest window holds."""
        members: list[bytes] = []
        for order in keys.latest_orders:
            members += await ask(self.client.zrange(order, 0, -1))
        return {member.partition(b":")[2].decode() for member in members}

    async def replace(self, window: Window, unfolded: Unfolded, folded: Sequence[Pane]) -> bool:
        """Put the folded panes in the place of others."""
        of_model = ModelKeys(window.model)
        keys = of_model.window(window.interval.start)
        packed = await asyncio.to_thread(lambda: list(map(pack_pane, folded)))
        retention = int(self.windows.rules.retention.total_seconds())
        identifier = window_id(window.interval.start)
        answer = await _fold(
            self.client,
            [keys.state, keys.folded, keys.folds, of_model.panes, of_model.meta],
            [
                *(identifier, unfolded.folded_count, retention, len(packed)),
                *packed,
                *unfolded.blocks,
            ],
        )
        if answer:
            STORED_BYTES.labels("fold").inc(sum(map(len, packed)))
        return bool(answer)
