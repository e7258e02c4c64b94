"""What the suites send to a store, and what they make of it."""

from dataclasses import replace

from services.aggregator.domain.summary import Summary, summarise
from services.aggregator.domain.window import Window
from services.aggregator.ports import Stored
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import (
    block,
    hour_of,
    lfis,
)


async def append(store: Store, seed: int = 1, block_id: str = "b1", **changes: object) -> Stored:
    made = replace(block(lfis(seed), block_id), **changes)  # type: ignore[arg-type]
    return await store.intake.append(made, hour_of(made.event_time))


async def summary_of(store: Store, window: Window) -> Summary:
    return summarise(await store.windows.panes(window), 3, window.name, resamples=20)
