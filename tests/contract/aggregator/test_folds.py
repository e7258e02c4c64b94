"""What folding a large window's panes promises: one suite over memory, a real Valkey, a cluster."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from services.aggregator.domain.block import Population
from services.aggregator.domain.fold import MOST_RELATIVE_ERROR, fold
from services.aggregator.domain.summary import Summary, summarise
from services.aggregator.domain.window import Window
from services.aggregator.fold import Fold
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.values import numeric_sketch
from tests.unit.services.aggregator.worlds import (
    HOUR,
    LATEST_RULES,
    MODEL,
    NOON,
    MemoryStore,
    block,
    checkpoint,
    hour_of,
    lfis,
)

EXAMPLES = 100
BLOCKS = 120
MANY = LATEST_RULES.examples // EXAMPLES + 2
"""Blocks that the latest window holds at most: it takes the newest."""


@pytest.fixture
async def window(store: Store) -> Window:
    """A window of many small blocks."""
    await store.checkpoints.register(checkpoint())
    await send(store, range(BLOCKS))
    return await store.windows.window(MODEL, NOON)


async def send(store: Store, numbers: range) -> None:
    for number in numbers:
        matrix = lfis(number, EXAMPLES)
        made = replace(
            block(matrix, f"b{number}", event_time=NOON + number * HOUR / 200),
            population=list(Population)[number % 2],
            sketch=numeric_sketch(matrix, np.full(EXAMPLES, 0.5, np.float32)),
        )
        await store.intake.append(made, hour_of(NOON))


async def measured(store: Store, window: Window) -> Summary:
    return summarise(await store.windows.panes(window), 3, window.name, resamples=20)


def assert_same(found: Summary, exact: Summary) -> None:
    assert (found.considered_count, found.displayed_count) == (
        exact.considered_count,
        exact.displayed_count,
    )
    assert found.coverage.tolist() == exact.coverage.tolist()
    assert np.abs(found.gfi / exact.gfi - 1).max() <= MOST_RELATIVE_ERROR
    assert found.profile is not None
    assert exact.profile is not None
    assert found.profile.buckets.counts.tolist() == exact.profile.buckets.counts.tolist()


async def test_a_folded_window_is_the_same_but_for_the_error(store: Store, window: Window) -> None:
    exact = await measured(store, window)
    await Fold(store.folds, 1000)(MODEL)
    panes = await store.windows.panes(window)
    assert sum(pane.counts is not None for pane in panes) == 2
    assert len(panes) <= 2 + 32 + MANY
    assert_same(await measured(store, window), exact)


async def test_blocks_go_on_to_come_and_count_once(store: Store, window: Window) -> None:
    await Fold(store.folds, 1000)(MODEL)
    await send(store, range(BLOCKS))
    assert (await store.windows.window(MODEL, NOON)).example_count == BLOCKS * EXAMPLES
    await send(store, range(BLOCKS, BLOCKS + 50))
    exact = MemoryStore()
    await exact.checkpoints.register(checkpoint())
    await send(exact, range(BLOCKS + 50))
    await Fold(store.folds, 1000)(MODEL)
    assert_same(await measured(store, window), await measured(exact, window))


async def test_a_window_is_folded_past_its_size_only(store: Store, window: Window) -> None:
    for most_examples in (0, BLOCKS * EXAMPLES):
        await Fold(store.folds, most_examples)(MODEL)
        assert all(pane.counts is None for pane in await store.windows.panes(window))


async def test_of_two_replicas_one_folds(store: Store, window: Window) -> None:
    first = await store.folds.unfolded(window, 32)
    second = await store.folds.unfolded(window, 32)
    assert first is not None
    assert second is not None
    assert await store.folds.replace(window, first, fold(first.panes))
    assert not await store.folds.replace(window, second, fold(second.panes))
    panes = await store.windows.panes(window)
    assert sum(pane.example_count for pane in panes) == BLOCKS * EXAMPLES


async def test_a_closed_window_is_not_folded(store: Store, window: Window) -> None:
    unfolded = await store.folds.unfolded(window, 32)
    assert unfolded is not None
    summary = await measured(store, window)
    assert await store.keeper("a").close(window, summary)
    assert not await store.folds.replace(window, unfolded, fold(unfolded.panes))
    assert await store.folds.larger_than(MODEL, 1) == []
    assert not await store.windows.panes(window)


async def test_what_was_folded_goes_with_its_window(store: Store, window: Window) -> None:
    await Fold(store.folds, 1000)(MODEL)
    assert await store.keeper("a").close(window, await measured(store, window))
    assert not await store.windows.panes(window)


async def test_who_reads_while_panes_are_folded_misses_none(store: Store, window: Window) -> None:
    folding = asyncio.create_task(Fold(store.folds, 1000)(MODEL))
    is_done = False
    while not is_done:
        is_done = folding.done()
        panes = await store.windows.panes(window)
        assert sum(pane.example_count for pane in panes) == BLOCKS * EXAMPLES
        await asyncio.sleep(0)
    await folding
