from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from services.aggregator.domain.block import Block
from services.aggregator.domain.errors import (
    AheadOfTime,
    CheckpointNotFound,
    MalformedBlock,
    NotFinite,
    SeenInTraining,
    WindowClosed,
)
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    Aggregator,
    MemoryStore,
    block,
    checkpoint,
    lfis,
)

GOOD = block(lfis(1))


@pytest.fixture
async def aggregator() -> Aggregator:
    store = MemoryStore()
    await store.checkpoints.register(checkpoint())
    return Aggregator(store)


async def refused(aggregator: Aggregator) -> int:
    return (await aggregator.store.checkpoints.model(MODEL)).refused_count


async def test_a_block_is_acknowledged_with_its_window(aggregator: Aggregator) -> None:
    receipt = await aggregator.ingest(MODEL, lambda: GOOD)
    assert receipt.window == "models/ads_ctr/windows/20261120T120000Z"
    assert not receipt.duplicate
    assert (await aggregator.ingest(MODEL, lambda: GOOD)).duplicate
    assert await refused(aggregator) == 0
    assert aggregator.woken == []


async def test_a_block_that_ends_a_window_wakes_the_sweep(aggregator: Aggregator) -> None:
    await aggregator.ingest(MODEL, lambda: GOOD)
    await aggregator.ingest(MODEL, lambda: replace(GOOD, block_id="b2", event_time=NOON + HOUR))
    assert aggregator.woken == [MODEL]


def not_finite() -> Block:
    return replace(GOOD, predictions=np.full(1000, np.nan, dtype=np.float32))


@pytest.mark.parametrize(
    ("made", "error", "field"),
    [
        (not_finite, NotFinite, "block.predictions"),
        (lambda: block(lfis(1, scales=[1.0])), MalformedBlock, "block.feature_offsets"),
        (
            lambda: replace(GOOD, event_time=NOON - timedelta(days=10)),
            SeenInTraining,
            "block.event_time",
        ),
        (
            lambda: replace(GOOD, event_time=NOON + timedelta(days=40)),
            AheadOfTime,
            "block.event_time",
        ),
    ],
)
async def test_a_bad_block_is_refused_and_counted(
    aggregator: Aggregator, made: object, error: type[Exception], field: str
) -> None:
    assert callable(made)
    with pytest.raises(error) as caught:
        await aggregator.ingest(MODEL, made)
    assert getattr(caught.value, "field", None) == field
    assert await refused(aggregator) == 1
    assert not (await aggregator.ingest(MODEL, lambda: GOOD)).duplicate


async def test_a_window_may_start_when_training_ended(aggregator: Aggregator) -> None:
    trained = checkpoint(digest="cd" * 32, trained_until=NOON)
    await aggregator.store.checkpoints.register(trained)
    await aggregator.ingest(MODEL, lambda: replace(GOOD, digest="cd" * 32))


async def test_a_late_block_is_refused_and_counted_once(aggregator: Aggregator) -> None:
    await aggregator.ingest(MODEL, lambda: replace(GOOD, event_time=NOON + HOUR))
    with pytest.raises(WindowClosed):
        await aggregator.ingest(MODEL, lambda: replace(GOOD, block_id="b2"))
    assert await refused(aggregator) == 1


async def test_a_block_without_its_checkpoint_can_be_sent_again(aggregator: Aggregator) -> None:
    with pytest.raises(CheckpointNotFound):
        await aggregator.ingest(MODEL, lambda: replace(GOOD, digest="cd" * 32))
    assert await refused(aggregator) == 0
