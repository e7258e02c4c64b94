"""What every store promises of blocks and of outcomes."""

import asyncio
from collections.abc import Sequence

import pytest

from services.aggregator.domain.block import Method, Pane, Population
from services.aggregator.domain.errors import (
    CheckpointMismatch,
    CheckpointNotFound,
    ModelNotFound,
    WindowClosed,
    WindowNotFound,
)
from services.aggregator.domain.window import WindowState
from services.aggregator.ports import Stored
from tests.contract.aggregator.sending import append
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import (
    DIGEST,
    HOUR,
    MODEL,
    NOON,
    RULES,
    block,
    checkpoint,
    hour_of,
    lfis,
    report,
)

OTHER_DIGEST = "cd" * 32


def content(panes: Sequence[Pane]) -> list[tuple[str, int, list[int], list[float]]]:
    return sorted(
        (p.population.value, p.example_count, p.offsets.tolist(), p.values.tolist()) for p in panes
    )


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
