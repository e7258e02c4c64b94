from datetime import datetime, timedelta

import pytest

from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.errors import CheckpointMismatch, NoControl
from services.aggregator.domain.verdict import Verdict
from services.aggregator.domain.window import Window, WindowState
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    Aggregator,
    MemoryStore,
    block,
    checkpoint,
    hours,
    lfis,
    read,
)

DAY = timedelta(days=1)
OTHER_DIGEST = "cd" * 32
BROKEN = (1.0, 0.5, 5.0)


@pytest.fixture
async def aggregator() -> Aggregator:
    store = MemoryStore()
    await store.checkpoints.register(checkpoint())
    await store.checkpoints.register(checkpoint(digest=OTHER_DIGEST))
    return Aggregator(store)


async def window(aggregator: Aggregator, start: datetime) -> Window:
    return await aggregator.store.windows.window(MODEL, start)


async def test_a_control_of_the_callers_own(aggregator: Aggregator) -> None:
    for number, start in enumerate(hours(3)):
        await aggregator.store_hour(start, number)
    await aggregator.store_hour(NOON, 9, scales=BROKEN)
    await aggregator.sweep()(MODEL)
    control = await window(aggregator, NOON - 3 * HOUR)
    comparison = await aggregator.compare(await window(aggregator, NOON), control, top_k=1)
    assert comparison.control.window == control
    assert comparison.control.selection is None
    assert [shift.feature.name for shift in comparison.shifts] == ["f2"]
    assert comparison.verdict is Verdict.FEATURE_CORRUPTION


async def test_a_chosen_control(aggregator: Aggregator) -> None:
    for number, start in enumerate((NOON - DAY, NOON - HOUR, NOON)):
        await aggregator.store_hour(start, number)
    await aggregator.sweep()(MODEL)
    for selection, start in (
        (ControlSelection.SAME_HOUR_PREVIOUS_DAY, NOON - DAY),
        (ControlSelection.PREVIOUS_HOUR, NOON - HOUR),
    ):
        comparison = await aggregator.compare(await window(aggregator, NOON), selection, top_k=3)
        assert comparison.control.window.interval.start == start
        assert comparison.control.note == ""


async def test_an_open_window_is_compared_as_it_is_now(aggregator: Aggregator) -> None:
    await aggregator.store_hour(NOON - HOUR, 1)
    await aggregator.sweep()(MODEL)
    for number in range(2):
        made = block(lfis(5, scales=BROKEN), f"b{number}", event_time=NOON)
        await aggregator.ingest(MODEL, read(made))
    anomaly = await window(aggregator, NOON)
    comparison = await aggregator.compare(anomaly, ControlSelection.PREVIOUS_HOUR, top_k=3)
    assert comparison.anomaly.state is WindowState.OPEN
    assert comparison.shifts[0].feature.name == "f2"


async def test_windows_of_different_checkpoints_are_not_compared(aggregator: Aggregator) -> None:
    await aggregator.store_hour(NOON - HOUR, 1)
    await aggregator.store_hour(NOON, 2, digest=OTHER_DIGEST)
    await aggregator.sweep()(MODEL)
    anomaly, control = await window(aggregator, NOON), await window(aggregator, NOON - HOUR)
    with pytest.raises(CheckpointMismatch):
        await aggregator.compare(anomaly, control, top_k=3)
    with pytest.raises(NoControl):
        await aggregator.compare(anomaly, ControlSelection.PREVIOUS_HOUR, top_k=3)


async def test_a_window_is_not_its_own_control(aggregator: Aggregator) -> None:
    await aggregator.store_hour(NOON, 1)
    noon = await window(aggregator, NOON)
    with pytest.raises(NoControl):
        await aggregator.compare(noon, noon, top_k=3)


async def test_only_healthy_windows_of_the_checkpoint_make_the_history(
    aggregator: Aggregator,
) -> None:
    starts = list(hours(8))
    for number, start in enumerate(starts):
        await aggregator.store_hour(
            start,
            number,
            observed=600 if number == 2 else 1000,
            digest=OTHER_DIGEST if number == 4 else checkpoint().digest,
        )
    await aggregator.store_hour(NOON, 9, observed=600)
    await aggregator.sweep()(MODEL)
    anomaly = await window(aggregator, NOON)
    comparison = await aggregator.compare(anomaly, ControlSelection.PREVIOUS_HOUR, top_k=3)
    # Six of eight are left; of the changes over one hour, 0-1, 5-6 and 6-7.
    assert comparison.history_count == 3
