"""What every window store promises: one suite over memory, a real Valkey and a cluster."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from services.aggregator.adapters.redis_client import connect
from services.aggregator.domain.block import Method, Pane, Population
from services.aggregator.domain.errors import (
    CheckpointMismatch,
    CheckpointNotFound,
    ModelNotFound,
    WindowClosed,
    WindowNotFound,
)
from services.aggregator.domain.shift import ShiftEvent
from services.aggregator.domain.summary import Summary, summarise
from services.aggregator.domain.window import ModelRules, Window, WindowState
from services.aggregator.ports import Stored
from tests.unit.services.aggregator.redis_store import RedisStore
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import (
    DIGEST,
    HOUR,
    MODEL,
    NOON,
    RULES,
    MemoryStore,
    block,
    checkpoint,
    hour_of,
    lfis,
    report,
)
from tests.valkey import ValkeyServer
from tests.valkey_cluster import ValkeyCluster

LEASE = timedelta(seconds=5)
DAY = timedelta(days=1)
OTHER_DIGEST = "cd" * 32


@pytest.fixture(params=["memory", "redis", "cluster"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    fixture = "valkey_cluster" if request.param == "cluster" else "valkey"
    server: ValkeyServer | ValkeyCluster = request.getfixturevalue(fixture)
    async with connect(server.url) as client:
        yield RedisStore(client)


@pytest.fixture
async def registered(store: Store) -> Store:
    await store.checkpoints.register(checkpoint())
    return store


async def append(store: Store, seed: int = 1, block_id: str = "b1", **changes: object) -> Stored:
    made = replace(block(lfis(seed), block_id), **changes)  # type: ignore[arg-type]
    return await store.intake.append(made, hour_of(made.event_time))


async def summary_of(store: Store, window: Window) -> Summary:
    return summarise(await store.windows.panes(window), 3, window.name, resamples=20)


def content(panes: Sequence[Pane]) -> list[tuple[str, int, list[int], list[float]]]:
    return sorted(
        (p.population.value, p.example_count, p.offsets.tolist(), p.values.tolist()) for p in panes
    )


class TestCheckpoints:
    async def test_are_found_by_digest(self, store: Store) -> None:
        await store.checkpoints.register(checkpoint())
        await store.checkpoints.register(checkpoint(digest=OTHER_DIGEST, features=5))
        assert await store.checkpoints.find(MODEL, DIGEST) == checkpoint()
        assert await store.checkpoints.models() == [MODEL]
        assert (await store.checkpoints.model(MODEL)).digest == OTHER_DIGEST

    async def test_can_be_registered_again(self, registered: Store) -> None:
        await registered.checkpoints.register(checkpoint())
        assert await registered.checkpoints.find(MODEL, DIGEST) == checkpoint()

    async def test_keep_the_meaning_of_their_digest(self, registered: Store) -> None:
        with pytest.raises(CheckpointMismatch):
            await registered.checkpoints.register(checkpoint(features=4))
        assert await registered.checkpoints.find(MODEL, DIGEST) == checkpoint()

    async def test_that_are_unknown_are_said_to_be(self, registered: Store) -> None:
        with pytest.raises(CheckpointNotFound):
            await registered.checkpoints.find(MODEL, OTHER_DIGEST)
        with pytest.raises(CheckpointNotFound):
            await registered.checkpoints.find("other", DIGEST)
        with pytest.raises(ModelNotFound):
            await registered.checkpoints.model("other")


class TestIntake:
    async def test_a_block_is_in_its_window_with_its_counts(self, registered: Store) -> None:
        assert await append(registered) == Stored(duplicate=False, has_work=False)
        await append(registered, 2, "b2", population=Population.DISPLAYED)
        window = await registered.windows.window(MODEL, NOON)
        assert window.interval == hour_of(NOON)
        assert window.state is WindowState.OPEN
        assert (window.digest, window.method) == (DIGEST, Method.PSEUDO_LOSS)
        assert (window.considered_count, window.displayed_count) == (1000, 1000)
        assert window.calibration is None
        stored = content(await registered.windows.panes(window))
        displayed = block(lfis(2), population=Population.DISPLAYED)
        sent = content([block(lfis(1)).pane, displayed.pane])
        for kept, given in zip(stored, sent, strict=True):
            assert kept[:3] == given[:3]
            assert kept[3] == pytest.approx(given[3], rel=1e-3)
        state = await registered.checkpoints.model(MODEL)
        assert state.watermark == state.latest_event_time == NOON
        assert (state.block_count, state.duplicate_count, state.refused_count) == (2, 0, 0)

    async def test_a_block_that_comes_twice_counts_once(self, registered: Store) -> None:
        await append(registered)
        assert (await append(registered)).duplicate
        window = await registered.windows.window(MODEL, NOON)
        assert window.considered_count == 1000
        assert len(await registered.windows.panes(window)) == 1
        state = await registered.checkpoints.model(MODEL)
        assert (state.block_count, state.duplicate_count) == (1, 1)

    async def test_of_many_at_once_one_counts(self, registered: Store) -> None:
        answers = await asyncio.gather(*(append(registered) for _ in range(20)))
        assert [answer.duplicate for answer in answers].count(False) == 1
        assert (await registered.windows.window(MODEL, NOON)).considered_count == 1000

    async def test_a_duplicate_of_a_closed_window_is_still_acknowledged(
        self, registered: Store
    ) -> None:
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        assert (await append(registered)).duplicate

    async def test_the_checkpoint_must_be_registered(self, registered: Store) -> None:
        with pytest.raises(CheckpointNotFound):
            await append(registered, digest=OTHER_DIGEST)
        with pytest.raises(CheckpointNotFound):
            await append(registered, model="other")
        with pytest.raises(WindowNotFound):
            await registered.windows.window(MODEL, NOON)

    @pytest.mark.parametrize(
        "change", [{"digest": OTHER_DIGEST}, {"method": Method.RELATIVE}], ids=["digest", "method"]
    )
    async def test_a_window_holds_one_kind_of_block(
        self, registered: Store, change: dict[str, object]
    ) -> None:
        await registered.checkpoints.register(checkpoint(digest=OTHER_DIGEST))
        await append(registered)
        with pytest.raises(CheckpointMismatch):
            await append(registered, 2, "b2", **change)
        window = await registered.windows.window(MODEL, NOON)
        assert (window.digest, window.considered_count) == (DIGEST, 1000)
        assert (await registered.checkpoints.model(MODEL)).refused_count == 1
        await append(registered, 3, "b3", event_time=NOON + HOUR, **change)

    async def test_a_block_behind_the_watermark_is_late(self, registered: Store) -> None:
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        with pytest.raises(WindowClosed, match="20261120T120000Z"):
            await append(registered, 3, "b3", event_time=NOON + HOUR / 2)
        window = await registered.windows.window(MODEL, NOON)
        assert window.state is WindowState.CLOSED
        assert window.considered_count == 1000
        assert (await registered.checkpoints.model(MODEL)).refused_count == 1

    async def test_order_within_the_watermark_does_not_matter(self, registered: Store) -> None:
        await append(registered, 1, "b1", event_time=NOON + HOUR / 2)
        await append(registered, 2, "b2", event_time=NOON)
        state = await registered.checkpoints.model(MODEL)
        assert state.watermark == state.latest_event_time == NOON + HOUR / 2

    async def test_times_before_1970_are_times(self, registered: Store) -> None:
        early = NOON.replace(year=1960)
        await append(registered, 1, "b1", event_time=early)
        await append(registered, 2, "b2", event_time=early + HOUR)
        assert (await registered.windows.window(MODEL, early)).state is WindowState.CLOSED

    async def test_refusals_made_elsewhere_are_counted(self, registered: Store) -> None:
        await registered.intake.refuse(MODEL)
        await registered.intake.refuse("other")
        assert (await registered.checkpoints.model(MODEL)).refused_count == 1
        assert await registered.checkpoints.models() == [MODEL]


class TestRules:
    async def test_a_model_has_none_of_its_own_at_first(self, registered: Store) -> None:
        assert (await registered.checkpoints.model(MODEL)).rules == ModelRules()
        with pytest.raises(ModelNotFound):
            await registered.checkpoints.set_rules("other", ModelRules())

    async def test_they_are_kept_and_can_be_taken_back(self, registered: Store) -> None:
        own = ModelRules(timedelta(seconds=90.5), timedelta(days=20))
        await registered.checkpoints.set_rules(MODEL, own)
        assert (await registered.checkpoints.model(MODEL)).rules == own
        half = ModelRules(retention=timedelta(days=2))
        await registered.checkpoints.set_rules(MODEL, half)
        await registered.checkpoints.register(checkpoint())
        assert (await registered.checkpoints.model(MODEL)).rules == half

    async def test_a_window_waits_for_its_models_stragglers(self, registered: Store) -> None:
        keeper = registered.keeper("a")
        await registered.checkpoints.set_rules(MODEL, ModelRules(allowed_lateness=HOUR / 2))
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        assert not await keeper.work(MODEL)
        await append(registered, 3, "b3", event_time=NOON + HOUR / 2)
        window = await registered.windows.window(MODEL, NOON)
        assert (window.state, window.considered_count) == (WindowState.OPEN, 2000)
        await append(registered, 4, "b4", event_time=NOON + 1.5 * HOUR)
        with pytest.raises(WindowClosed):
            await append(registered, 5, "b5", event_time=NOON + HOUR / 2)
        assert (await keeper.work(MODEL)).closable == [NOON]
        assert (await registered.windows.window(MODEL, NOON)).state is WindowState.CLOSED
        assert (await registered.checkpoints.model(MODEL)).refused_count == 1

    async def test_a_models_windows_are_kept_for_its_retention(self, registered: Store) -> None:
        keeper = registered.keeper("a")
        await registered.checkpoints.set_rules(MODEL, ModelRules(retention=2 * DAY))
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR + 2 * DAY)
        assert (await keeper.work(MODEL)).expired == [NOON]
        with pytest.raises(WindowNotFound):
            await registered.intake.report(report(NOON), hour_of(NOON))
        await registered.checkpoints.set_rules(MODEL, ModelRules())
        assert (await keeper.work(MODEL)).expired == []


class TestOutcomes:
    async def test_counts_add_up(self, registered: Store) -> None:
        await append(registered)
        for number in range(3):
            quarter = report(NOON + number * HOUR / 4, 100.5, 100, f"r{number}", HOUR / 4)
            stored = await registered.intake.report(quarter, hour_of(NOON))
            assert stored == Stored(duplicate=False, has_work=False)
        calibration = (await registered.windows.window(MODEL, NOON)).calibration
        assert calibration is not None
        assert (calibration.expected, calibration.observed) == (301.5, 300)

    async def test_a_report_that_comes_twice_counts_once(self, registered: Store) -> None:
        await registered.intake.report(report(NOON), hour_of(NOON))
        assert (await registered.intake.report(report(NOON), hour_of(NOON))).duplicate
        calibration = (await registered.windows.window(MODEL, NOON)).calibration
        assert calibration is not None
        assert (calibration.expected, calibration.observed) == (1000.0, 1000)

    async def test_a_report_closes_the_window_that_it_ends(self, registered: Store) -> None:
        await append(registered)
        stored = await registered.intake.report(report(NOON), hour_of(NOON))
        assert stored.has_work
        assert (await registered.windows.window(MODEL, NOON)).state is WindowState.CLOSED
        assert (await registered.checkpoints.model(MODEL)).watermark == NOON + HOUR

    async def test_the_model_must_be_known(self, store: Store) -> None:
        with pytest.raises(ModelNotFound):
            await store.intake.report(report(NOON), hour_of(NOON))

    async def test_what_lies_behind_the_retention_is_gone(self, registered: Store) -> None:
        await append(registered)
        late = NOON - RULES.retention - HOUR
        with pytest.raises(WindowNotFound):
            await registered.intake.report(report(late), hour_of(late))
        with pytest.raises(WindowNotFound):
            await registered.windows.window(MODEL, late)


class TestWindows:
    async def test_are_listed_newest_first(self, registered: Store) -> None:
        starts = [NOON + n * HOUR for n in range(4)]
        for number, start in enumerate(starts):
            await append(registered, number, f"b{number}", event_time=start)
        newest = [w.interval.start for w in await registered.windows.windows(MODEL, None, 3)]
        assert newest == starts[:0:-1]
        earlier = await registered.windows.windows(MODEL, starts[2], 10)
        assert [w.interval.start for w in earlier] == [starts[1], starts[0]]
        assert await registered.windows.windows("other", None, 3) == []

    async def test_keep_a_sample_of_their_examples(self, registered: Store) -> None:
        for number in range(6):
            await append(registered, number, f"b{number}", arrow_stream=f"a{number}".encode())
        window = await registered.windows.window(MODEL, NOON)
        kept = sorted(await registered.windows.sample(window, tuple(Population)))
        # The two of lowest SHA-256; each block has 1,000 examples and 2,000 are kept.
        assert kept == [b"a2", b"a5"]

    async def test_share_the_sample_between_populations(self, registered: Store) -> None:
        for number in range(9):
            population = Population.DISPLAYED if number == 5 else Population.CONSIDERED
            made = replace(
                block(lfis(number), f"b{number}", population=population),
                arrow_stream=f"a{number}".encode(),
            )
            await registered.intake.append(made, hour_of(NOON))
        window = await registered.windows.window(MODEL, NOON)
        assert await registered.windows.sample(window, [Population.DISPLAYED]) == [b"a5"]
        [considered] = await registered.windows.sample(window, [Population.CONSIDERED])
        assert considered != b"a5"
        both = await registered.windows.sample(window, tuple(Population))
        assert set(both) == {b"a5", considered}

    async def test_without_kept_examples_have_an_empty_sample(self, registered: Store) -> None:
        await append(registered)
        window = await registered.windows.window(MODEL, NOON)
        assert await registered.windows.sample(window, tuple(Population)) == []

    async def test_have_no_summary_before_they_close(self, registered: Store) -> None:
        await append(registered)
        window = await registered.windows.window(MODEL, NOON)
        assert await registered.windows.summary(window) is None
        assert await registered.windows.summaries([window]) == [None]
        assert await registered.windows.summaries([]) == []
        assert await registered.windows.marks([window]) == [None]
        assert await registered.windows.marks([]) == []

    async def test_marks_tell_summaries_apart(self, registered: Store) -> None:
        windows = []
        for number, start in enumerate((NOON, NOON + HOUR, NOON + 2 * HOUR)):
            await append(registered, number, f"b{number}", event_time=start)
            windows.append(await registered.windows.window(MODEL, start))
        for window in windows[:2]:
            made = await summary_of(registered, window)
            assert await registered.keeper("a").close(window, made)
        first, second, third = await registered.windows.marks(windows)
        assert None not in (first, second)
        assert first != second
        assert third is None
        assert await registered.windows.marks(windows[:1]) == [first]


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
