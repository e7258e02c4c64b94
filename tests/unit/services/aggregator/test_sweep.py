"""Windows close, are judged and are forgotten, once, whoever does it and whatever fails."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest

from services.aggregator.adapters.memory_windows import MemoryWindows
from services.aggregator.domain.block import Pane
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.shift import AlertReason
from services.aggregator.domain.summary import summarise
from services.aggregator.domain.verdict import Verdict
from services.aggregator.domain.window import Window, window_name
from tests.unit.services.aggregator.worlds import (
    HOUR,
    LEASE,
    MODEL,
    NOON,
    RULES,
    Aggregator,
    MemoryStore,
    block,
    checkpoint,
    hours,
    lfis,
    report,
)

BROKEN = (1.0, 0.5, 5.0)


@pytest.fixture
async def aggregator() -> Aggregator:
    store = MemoryStore()
    await store.checkpoints.register(checkpoint())
    return Aggregator(store)


async def test_a_past_window_becomes_its_summary(aggregator: Aggregator) -> None:
    await aggregator.ingest(MODEL, lambda: block(lfis(1)))
    await aggregator.ingest(MODEL, lambda: block(lfis(2), "b2", event_time=NOON + HOUR))
    await aggregator.sweep()(MODEL)
    window = await aggregator.store.windows.window(MODEL, NOON)
    assert await aggregator.store.windows.panes(window) == []
    summary = await aggregator.store.windows.summary(window)
    expected = summarise([block(lfis(1)).pane], 3, window.name, resamples=100)
    assert summary is not None
    assert np.array_equal(summary.gfi, expected.gfi)
    assert np.array_equal(summary.standard_error, expected.standard_error)


async def test_a_healthy_window_is_told_without_comparison(aggregator: Aggregator) -> None:
    await aggregator.store_hour(NOON, seed=1)
    await aggregator.sweep()(MODEL)
    (event,) = await aggregator.events()
    assert event.window.name == window_name(MODEL, NOON)
    assert event.window.is_healthy
    assert event.comparison is None
    assert event.create_time == aggregator.clock


async def test_without_outcomes_nothing_is_told(aggregator: Aggregator) -> None:
    await aggregator.ingest(MODEL, lambda: block(lfis(1)))
    await aggregator.ingest(MODEL, lambda: block(lfis(2), "b2", event_time=NOON + HOUR))
    await aggregator.sweep()(MODEL)
    assert await aggregator.events() == []


async def test_an_anomaly_is_told_with_the_guilty_feature_on_top(aggregator: Aggregator) -> None:
    for number, start in enumerate(hours(5)):
        await aggregator.store_hour(start, number)
    await aggregator.store_hour(NOON, 50, observed=600, scales=BROKEN)
    await aggregator.sweep()(MODEL)
    *healthy, event = await aggregator.events()
    assert len(healthy) == 5
    comparison = event.comparison
    assert comparison is not None
    assert event.window.is_anomalous
    assert comparison.verdict is Verdict.FEATURE_CORRUPTION
    assert [s.feature.name for s in comparison.shifts if s.significant] == ["f2"]
    assert len(comparison.shifts) == 2
    assert comparison.feature_count == 3
    assert comparison.history_count == 4
    assert comparison.control.window.interval.start == NOON - HOUR
    assert comparison.control.selection is ControlSelection.SAME_HOUR_PREVIOUS_DAY
    assert "is not there" in comparison.control.note


async def test_an_anomaly_that_no_feature_explains_says_so(aggregator: Aggregator) -> None:
    for number, start in enumerate(hours(6)):
        await aggregator.store_hour(start, number)
    await aggregator.store_hour(NOON, 50, observed=600)
    await aggregator.sweep()(MODEL)
    comparison = (await aggregator.events())[-1].comparison
    assert comparison is not None
    assert comparison.verdict is Verdict.NO_FEATURE_EXPLAINS
    assert comparison.significant_count == 0


async def test_an_anomaly_of_few_examples_gives_no_verdict(aggregator: Aggregator) -> None:
    await aggregator.store_hour(NOON - HOUR, 1)
    await aggregator.store_hour(NOON, 2, observed=600, examples=200, scales=BROKEN)
    await aggregator.sweep()(MODEL)
    comparison = (await aggregator.events())[-1].comparison
    assert comparison is not None
    assert comparison.verdict is Verdict.INSUFFICIENT_DATA


@pytest.mark.parametrize("only_outcomes", [True, False])
async def test_an_anomaly_without_control_is_told_all_the_same(
    aggregator: Aggregator, only_outcomes: bool
) -> None:
    if only_outcomes:
        await aggregator.report_outcomes(report(NOON, observed=600))
    else:
        await aggregator.store_hour(NOON, 1, observed=600)
    await aggregator.sweep()(MODEL)
    (event,) = await aggregator.events()
    assert event.window.is_anomalous
    assert event.comparison is None


async def test_one_unlucky_window_opens_nothing_until_another_confirms_it() -> None:
    aggregator = Aggregator(MemoryStore(), confirming_windows=4)
    await aggregator.store.checkpoints.register(checkpoint())
    observed = [1000, 1000, 1000, 820, 820, 820]
    for number, start in enumerate(hours(6)):
        await aggregator.store_hour(start, number, observed=observed[number])
        await aggregator.sweep()(MODEL)
    told = [event.window.is_anomalous for event in await aggregator.events()]
    assert told == [False, False, False, False, False, True]
    state = await aggregator.store.windows.window(MODEL, NOON - 3 * HOUR)
    assert state.is_anomalous


async def test_windows_that_pass_together_are_compared_with_each_other(
    aggregator: Aggregator,
) -> None:
    """Nothing was swept before the anomaly: its control closes first all the same."""
    await aggregator.store_hour(NOON - HOUR, 1)
    await aggregator.store_hour(NOON, 2, observed=600, scales=BROKEN)
    await aggregator.sweep()(MODEL)
    assert [event.comparison is not None for event in await aggregator.events()] == [False, True]


async def test_sweeping_again_changes_nothing(aggregator: Aggregator) -> None:
    await aggregator.store_hour(NOON, 1)
    for _ in range(3):
        await aggregator.sweep()(MODEL)
    assert len(await aggregator.events()) == 1


async def test_replicas_together_tell_once(aggregator: Aggregator) -> None:
    for number, start in enumerate(hours(4)):
        await aggregator.store_hour(start, number)
    await asyncio.gather(*(aggregator.sweep(replica)(MODEL) for replica in "abc"))
    await aggregator.sweep("d")(MODEL)
    assert len(await aggregator.events()) == 4


async def test_what_another_replica_is_at_is_left_to_it(aggregator: Aggregator) -> None:
    await aggregator.store_hour(NOON, 1)
    other = aggregator.store.keeper("other")
    await other.acquire(MODEL, timedelta(seconds=5))
    await aggregator.sweep()(MODEL)
    assert await aggregator.events() == []
    await other.release(MODEL)
    await aggregator.sweep()(MODEL)
    assert len(await aggregator.events()) == 1


@dataclass(frozen=True)
class Unhurried(MemoryWindows):
    """Reads panes once it is let."""

    reading: asyncio.Event
    may_read: asyncio.Event

    async def panes(self, window: Window) -> Sequence[Pane]:
        self.reading.set()
        await self.may_read.wait()
        return await super().panes(window)


@dataclass(frozen=True)
class UnhurriedStore(MemoryStore):
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    may_read: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def windows(self) -> MemoryWindows:
        return Unhurried(self.records, self.reading, self.may_read)


async def test_a_lease_is_renewed_while_a_window_takes_long() -> None:
    store = UnhurriedStore()
    aggregator = Aggregator(store)
    await store.checkpoints.register(checkpoint())
    await aggregator.store_hour(NOON, 1)
    sweeping = asyncio.create_task(aggregator.sweep("a")(MODEL))
    await store.reading.wait()
    await asyncio.sleep(2 * LEASE.total_seconds())
    assert not await store.keeper("b").acquire(MODEL, LEASE)
    store.may_read.set()
    await sweeping
    assert await store.keeper("b").acquire(MODEL, LEASE)
    assert len(await aggregator.events()) == 1


async def test_what_a_dead_replica_was_at_is_taken_over() -> None:
    store = UnhurriedStore()
    aggregator = Aggregator(store)
    await store.checkpoints.register(checkpoint())
    await aggregator.store_hour(NOON, 1)
    sweeping = asyncio.create_task(aggregator.sweep("a")(MODEL))
    await store.reading.wait()
    sweeping.cancel()
    store.may_read.set()
    while not await aggregator.events():
        await aggregator.sweep("b")(MODEL)
        await asyncio.sleep(0.01)
    assert len(await aggregator.events()) == 1


class Damaged(MemoryWindows):
    """Cannot read the panes of one window."""

    async def panes(self, window: Window) -> Sequence[Pane]:
        if window.interval.start == NOON - HOUR:
            raise ValueError("unreadable")
        return await super().panes(window)


@dataclass(frozen=True)
class DamagedStore(MemoryStore):
    @property
    def windows(self) -> MemoryWindows:
        return Damaged(self.records)


async def test_a_window_that_fails_does_not_hold_up_the_others() -> None:
    aggregator = Aggregator(DamagedStore())
    await aggregator.store.checkpoints.register(checkpoint())
    for number, start in enumerate((NOON - 2 * HOUR, NOON - HOUR, NOON)):
        await aggregator.store_hour(start, number)
    for _ in range(2):
        with pytest.raises(ValueError, match="unreadable"):
            await aggregator.sweep()(MODEL)
    told = [event.window.interval.start for event in await aggregator.events()]
    assert told == [NOON - 2 * HOUR, NOON]


async def test_old_windows_are_forgotten_after_they_were_told(aggregator: Aggregator) -> None:
    await aggregator.store_hour(NOON - RULES.retention - HOUR, 1)
    await aggregator.store_hour(NOON, 2)
    await aggregator.sweep()(MODEL)
    assert len(await aggregator.events()) == 2
    kept = await aggregator.store.windows.windows(MODEL, None, 10)
    assert [window.interval.start for window in kept] == [NOON]


async def test_evidence_alone_raises_an_alert_where_calibration_is_healthy(
    aggregator: Aggregator,
) -> None:
    aggregator = replace(aggregator, selection=ControlSelection.PREVIOUS_HOUR)
    for number, start in enumerate(hours(52)):
        await aggregator.store_hour(start, number)
    await aggregator.store_hour(NOON, 99, scales=BROKEN)
    await aggregator.sweep()(MODEL)
    *healthy, raised = await aggregator.events()
    assert {event.alert for event in healthy} == {None}
    assert all(event.comparison is None for event in healthy)
    assert not raised.window.is_anomalous
    assert raised.alert is AlertReason.EVIDENCE
    assert raised.comparison is not None
    assert raised.comparison.shifts[0].feature.name == "f2"


async def test_calibration_comes_first(aggregator: Aggregator) -> None:
    for number, start in enumerate(hours(3)):
        await aggregator.store_hour(start, number)
    await aggregator.store_hour(NOON, 9, observed=600, scales=BROKEN)
    await aggregator.sweep()(MODEL)
    alerts = [event.alert for event in await aggregator.events()]
    assert alerts == [None, None, None, AlertReason.CALIBRATION]
