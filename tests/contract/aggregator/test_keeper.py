"""What every store promises of who closes windows."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from services.aggregator.domain.block import Population
from services.aggregator.domain.errors import (
    WindowClosed,
    WindowNotFound,
)
from services.aggregator.domain.shift import ShiftEvent
from tests.contract.aggregator.sending import append, summary_of
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    RULES,
    hour_of,
    report,
)

LEASE = timedelta(seconds=5)


class TestKeeper:
    async def test_an_open_window_is_no_work(self, registered: Store) -> None:
        await append(registered)
        assert not await registered.keeper("a").work(MODEL)
        assert not await registered.keeper("a").work("other")

    async def test_work_is_to_close_then_to_evaluate(self, registered: Store) -> None:
        keeper = registered.keeper("a")
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        await registered.intake.report(report(NOON), hour_of(NOON))
        work = await keeper.work(MODEL)
        assert (work.closable, work.evaluable, work.expired) == ([NOON], [], [])
        window = await registered.windows.window(MODEL, NOON)
        assert await keeper.close(window, await summary_of(registered, window))
        work = await keeper.work(MODEL)
        assert (work.closable, work.evaluable, work.expired) == ([], [NOON], [])

    async def test_a_window_is_evaluated_once_all_its_outcomes_are_in(
        self, registered: Store
    ) -> None:
        keeper = registered.keeper("a")
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        window = await registered.windows.window(MODEL, NOON)
        await keeper.close(window, await summary_of(registered, window))
        half = report(NOON, request_id="first", length=HOUR / 2)
        assert not (await registered.intake.report(half, hour_of(NOON))).has_work
        assert not await keeper.work(MODEL)
        rest = report(NOON + HOUR / 2, request_id="second", length=HOUR / 2)
        assert (await registered.intake.report(rest, hour_of(NOON))).has_work
        assert (await keeper.work(MODEL)).evaluable == [NOON]

    async def test_a_closed_window_is_its_summary(self, registered: Store) -> None:
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        window = await registered.windows.window(MODEL, NOON)
        made = await summary_of(registered, window)
        assert await registered.keeper("a").close(window, made)
        assert await registered.windows.panes(window) == []
        for kept in (
            await registered.windows.summary(window),
            (await registered.windows.summaries([window]))[0],
        ):
            assert kept is not None
            assert (kept.considered_count, kept.displayed_count) == (1000, 0)
            for name in ("gfi", "coverage", "standard_error"):
                assert np.array_equal(getattr(kept, name), getattr(made, name))

    async def test_a_window_closes_once(self, registered: Store) -> None:
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        window = await registered.windows.window(MODEL, NOON)
        made = await summary_of(registered, window)
        keepers = [registered.keeper(replica) for replica in "abcd"]
        closed = await asyncio.gather(*(keeper.close(window, made) for keeper in keepers))
        assert sorted(closed) == [False, False, False, True]
        assert not await keepers[0].work(MODEL)

    async def test_whoever_wakes_up_late_changes_nothing(self, registered: Store) -> None:
        """Its lease has lapsed; what it worked out meanwhile is refused, not kept beside."""
        late, other = registered.keeper("late"), registered.keeper("other")
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        await registered.intake.report(report(NOON), hour_of(NOON))
        window = await registered.windows.window(MODEL, NOON)
        assert await late.acquire(MODEL, timedelta(milliseconds=20))
        made = await summary_of(registered, window)
        stale = replace(made, gfi=made.gfi * 2)
        await asyncio.sleep(0.05)
        assert await other.acquire(MODEL, LEASE)
        assert await other.close(window, made)
        assert await registered.shifts.publish(ShiftEvent(window, None, NOON))
        assert not await late.close(window, stale)
        assert not await registered.shifts.publish(ShiftEvent(window, None, NOON + HOUR))
        await late.release(MODEL)
        assert not await late.acquire(MODEL, LEASE)
        kept = await registered.windows.summary(window)
        assert kept is not None
        assert kept.gfi.tolist() == made.gfi.tolist()
        reading = await registered.shifts.read([MODEL], {}, timedelta(milliseconds=1))
        assert [each.event.create_time for each in reading.events] == [NOON]

    async def test_whoever_wakes_up_late_brings_nothing_back(self, registered: Store) -> None:
        await append(registered)
        window = await registered.windows.window(MODEL, NOON)
        made = await summary_of(registered, window)
        await registered.keeper("a").forget(MODEL, NOON)
        assert not await registered.keeper("late").close(window, made)
        assert not await registered.shifts.publish(ShiftEvent(window, None, NOON))
        assert await registered.windows.summary(window) is None
        assert await registered.windows.windows(MODEL, None, 9) == []

    async def test_a_closed_window_takes_no_block(self, registered: Store) -> None:
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        window = await registered.windows.window(MODEL, NOON)
        await registered.keeper("a").close(window, await summary_of(registered, window))
        with pytest.raises(WindowClosed):
            await append(registered, 3, "b3")
        assert await registered.windows.panes(window) == []

    async def test_one_replica_holds_the_lease(self, registered: Store) -> None:
        first, second = registered.keeper("a"), registered.keeper("b")
        assert await first.acquire(MODEL, LEASE)
        assert await first.acquire(MODEL, LEASE)
        assert not await second.acquire(MODEL, LEASE)
        await second.release(MODEL)
        assert not await second.acquire(MODEL, LEASE)
        await first.release(MODEL)
        assert await second.acquire(MODEL, LEASE)

    async def test_a_lease_runs_out(self, registered: Store) -> None:
        first, second = registered.keeper("a"), registered.keeper("b")
        assert await first.acquire(MODEL, timedelta(milliseconds=20))
        await asyncio.sleep(0.05)
        assert await second.acquire(MODEL, LEASE)

    async def test_windows_behind_the_retention_are_forgotten(self, registered: Store) -> None:
        keeper = registered.keeper("a")
        await append(registered, arrow_stream=b"a")
        await append(registered, 2, "b2", event_time=NOON + HOUR + RULES.retention - HOUR / 60)
        assert (await keeper.work(MODEL)).expired == []
        await append(registered, 3, "b3", event_time=NOON + HOUR + RULES.retention)
        assert (await keeper.work(MODEL)).expired == [NOON]
        window = await registered.windows.window(MODEL, NOON)
        await keeper.forget(MODEL, NOON)
        with pytest.raises(WindowNotFound):
            await registered.windows.window(MODEL, NOON)
        assert await registered.windows.sample(window, tuple(Population)) == []
        assert NOON not in [
            w.interval.start for w in await registered.windows.windows(MODEL, None, 9)
        ]
        work = await keeper.work(MODEL)
        assert NOON not in [*work.closable, *work.evaluable, *work.expired]
        with pytest.raises(WindowClosed):
            await append(registered, 4, "b4")
