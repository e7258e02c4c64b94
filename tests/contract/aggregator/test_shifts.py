"""What every stream of shifts promises: one suite over memory, a real Valkey and a cluster."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.aggregator.domain.control import Control, ControlSelection
from services.aggregator.domain.errors import InvalidPosition
from services.aggregator.domain.history import HistoricalNoise
from services.aggregator.domain.ranking import rank_shifts
from services.aggregator.domain.shift import AlertReason, Comparison, RankBy, ShiftEvent
from services.aggregator.domain.summary import summarise
from services.aggregator.domain.verdict import Verdict
from services.aggregator.domain.window import Window
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    block,
    checkpoint,
    hour_of,
    lfis,
    report,
)

WAIT = timedelta(milliseconds=20)
LONG = timedelta(seconds=20)
NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)


async def closed_window(store: Store, start: datetime = NOON) -> Window:
    """A window with examples and outcomes that waits for its event."""
    await store.checkpoints.register(checkpoint())
    name = start.isoformat()
    await store.intake.append(block(lfis(1), name, event_time=start), hour_of(start))
    await store.intake.report(report(start, request_id=name), hour_of(start))
    window = await store.windows.window(MODEL, start)
    panes = await store.windows.panes(window)
    await store.keeper("a").close(window, summarise(panes, 3, window.name, resamples=20))
    return await store.windows.window(MODEL, start)


def quiet(window: Window) -> ShiftEvent:
    return ShiftEvent(window, None, NOW)


async def test_an_event_is_published_once(store: Store) -> None:
    event = quiet(await closed_window(store))
    published = await asyncio.gather(*(store.shifts.publish(event) for _ in range(5)))
    assert sorted(published) == [False] * 4 + [True]
    reading = await store.shifts.read([MODEL], {}, WAIT)
    assert [published.event.window.name for published in reading.events] == [event.window.name]


async def test_a_published_window_is_no_more_work(store: Store) -> None:
    window = await closed_window(store)
    assert (await store.keeper("a").work(MODEL)).evaluable == [NOON]
    await store.shifts.publish(quiet(window))
    assert not await store.keeper("a").work(MODEL)
    again = await store.intake.report(report(NOON, request_id="late"), hour_of(NOON))
    assert not again.has_work


async def test_a_forgotten_window_has_no_event(store: Store) -> None:
    window = await closed_window(store)
    await store.keeper("a").forget(MODEL, NOON)
    assert not await store.shifts.publish(quiet(window))


async def test_reading_resumes_after_a_cursor(store: Store) -> None:
    for number in range(3):
        await store.shifts.publish(quiet(await closed_window(store, NOON + number * HOUR)))
    everything = await store.shifts.read([MODEL], {}, WAIT)
    assert [p.event.window.interval.start for p in everything.events] == [
        NOON,
        NOON + HOUR,
        NOON + 2 * HOUR,
    ]
    first, *rest = everything.events
    resumed = await store.shifts.read([MODEL], {MODEL: first.cursor}, WAIT)
    assert resumed.events == rest
    assert resumed.cursors == everything.cursors == {MODEL: rest[-1].cursor}
    ended = await store.shifts.read([MODEL], resumed.cursors, WAIT)
    assert (ended.events, ended.cursors) == ([], {})


async def test_reading_waits_for_the_next_event(store: Store) -> None:
    window = await closed_window(store)
    reading = asyncio.create_task(store.shifts.read([MODEL, "other"], {}, LONG))
    await asyncio.sleep(0.02)
    await store.shifts.publish(quiet(window))
    assert len((await reading).events) == 1


async def test_without_models_nothing_comes(store: Store) -> None:
    assert (await store.shifts.read([], {}, WAIT)).events == []


@pytest.mark.parametrize("cursor", ["", "x", "5", "-1-0", "1-0; FLUSHALL"])
async def test_a_cursor_of_another_making_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(InvalidPosition) as caught:
        await store.shifts.read([MODEL], {MODEL: cursor}, WAIT)
    assert caught.value.field == f"cursors[models/{MODEL}]"


async def test_an_event_keeps_its_comparison(store: Store) -> None:
    window = await closed_window(store)
    control, anomaly = (
        summarise([block(lfis(seed)).pane], 3, "w", resamples=20) for seed in (1, 2)
    )
    noise = HistoricalNoise(control.gfi * 0, 7)
    comparison = Comparison(
        control=Control(window, ControlSelection.PREVIOUS_HOUR, "the day before is not there"),
        anomaly=window,
        verdict=Verdict.NO_FEATURE_EXPLAINS,
        feature_count=3,
        significant_count=0,
        shifts=list(rank_shifts(checkpoint().features, control, anomaly, noise).shifts),
        history_count=7,
        rank_by=RankBy.COVERAGE_CHANGE,
    )
    await store.shifts.publish(ShiftEvent(window, comparison, NOW, AlertReason.EVIDENCE))
    (published,) = (await store.shifts.read([MODEL], {}, WAIT)).events
    kept = published.event.comparison
    assert kept is not None
    assert kept.shifts == comparison.shifts
    assert kept.control.note == comparison.control.note
    assert kept.control.selection is ControlSelection.PREVIOUS_HOUR
    assert kept.verdict is comparison.verdict
    assert (kept.feature_count, kept.significant_count, kept.history_count) == (3, 0, 7)
    assert kept.anomaly.calibration == window.calibration
    assert kept.rank_by is RankBy.COVERAGE_CHANGE
    assert published.event.create_time == NOW
    assert published.event.alert is AlertReason.EVIDENCE
