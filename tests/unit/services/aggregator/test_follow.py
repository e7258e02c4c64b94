"""The latest window is followed pane by pane, whatever moves on meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest

from services.aggregator.adapters.memory_latest import MemoryLatest
from services.aggregator.domain.block import Pane
from services.aggregator.domain.errors import WindowNotFound
from services.aggregator.domain.latest import LatestPanes, PaneEntry
from services.aggregator.domain.summary import Summary, summarise
from services.aggregator.follow import Follow
from tests.unit.services.aggregator.worlds import (
    MODEL,
    NOON,
    RULES,
    MemoryStore,
    block,
    checkpoint,
    hour_of,
    lfis,
)

RESAMPLES = 50


@dataclass
class Watched:
    """A reader that tells what was read, and can lose sight of a pane once."""

    reader: MemoryLatest
    store: MemoryStore
    asked: list[list[str]] = field(default_factory=list)
    moves_on: bool = False

    async def latest(self, model: str) -> LatestPanes | None:
        return await self.reader.latest(model)

    async def latest_panes(self, model: str, entries: Sequence[PaneEntry]) -> Sequence[Pane | None]:
        self.asked.append([entry.name.rpartition(":")[2] for entry in entries])
        if self.moves_on:
            self.moves_on = False
            await append(self.store, 9, model)
            return [None for _ in entries]
        return await self.reader.latest_panes(model, entries)


async def append(store: MemoryStore, number: int, model: str = MODEL) -> None:
    await store.checkpoints.register(replace(checkpoint(), model=model))
    made = replace(
        block(lfis(number), f"b{number}", model=model),
        event_time=NOON + timedelta(minutes=number),
    )
    await store.intake.append(made, hour_of(NOON))


def watched(most_models: int = 2) -> tuple[MemoryStore, Watched, Follow]:
    store = MemoryStore()
    reader = Watched(store.latest, store)
    return store, reader, Follow(reader, RULES, RESAMPLES, most_models)


async def summary_of(store: MemoryStore, model: str = MODEL) -> Summary:
    held = await store.latest.latest(model)
    assert held is not None
    panes = [pane for pane in await store.latest.latest_panes(model, held.entries) if pane]
    return summarise(panes, 3, f"models/{model}/windows/latest", RESAMPLES)


def check_same(found: Summary, expected: Summary) -> None:
    assert found.considered_count == expected.considered_count
    for name in ("gfi", "coverage", "standard_error"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


async def test_only_what_has_entered_since_is_read() -> None:
    store, reader, follow = watched()
    for number in range(4):
        await append(store, number)
        window = await follow(MODEL)
        check_same(window.summary, await summary_of(store))
        assert await follow(MODEL) is window
    assert reader.asked == [["b0"], ["b1"], ["b2"], ["b3"]]


async def test_in_full_it_is_what_its_panes_sum_up_to() -> None:
    store, _, follow = watched()
    await append(store, 1)
    whole, expected = (await follow(MODEL)).in_full(), await summary_of(store)
    check_same(whole, expected)
    assert whole.quantiles is not None
    assert expected.quantiles is not None
    assert whole.quantiles.tolist() == expected.quantiles.tolist()


async def test_it_looks_again_when_the_window_moves_on_meanwhile() -> None:
    store, reader, follow = watched()
    await append(store, 1)
    reader.moves_on = True
    window = await follow(MODEL)
    assert reader.asked == [["b1"], ["b1", "b9"]]
    check_same(window.summary, await summary_of(store))


async def test_more_models_than_are_kept_at_hand_are_read_anew() -> None:
    store, reader, follow = watched(most_models=1)
    for model in ("a", "b", "a"):
        if model not in store.records.models:
            await append(store, 1, model)
        check_same((await follow(model)).summary, await summary_of(store, model))
    assert reader.asked == [["b1"]] * 3


async def test_without_examples_there_is_none() -> None:
    _, _, follow = watched()
    with pytest.raises(WindowNotFound, match=r"ads_ctr/windows/latest"):
        await follow(MODEL)
