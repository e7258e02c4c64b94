"""What is put together of parts that are kept is what would be worked out anew."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from services.aggregator.domain.block import Method
from services.aggregator.domain.calibration import calibrate
from services.aggregator.domain.diagnosis import History
from services.aggregator.domain.history import pair_up, phases_of
from services.aggregator.domain.portrait import Frame
from services.aggregator.domain.shelf import Shelf
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import Interval, Window, WindowState
from services.aggregator.recall import Recall
from tests.unit.services.aggregator.domain.windows_of import wandering
from tests.unit.services.aggregator.worlds import BAND, DIGEST, HOUR, MODEL, NOON

WORLD = wandering(6)
FRAME = Frame.of(WORLD.schema)
LAG = 3 * HOUR


def window(hour: int) -> Window:
    start = NOON + hour * HOUR
    return Window(
        model=MODEL,
        interval=Interval(start, start + HOUR),
        state=WindowState.CLOSED,
        digest=DIGEST,
        method=Method.PSEUDO_LOSS,
        considered_count=200,
        displayed_count=200,
        calibration=calibrate(1000.0, 1000, BAND),
    )


HOURS = [window(n) for n in range(12)]


@dataclass
class Summaries:
    """Implements SummaryReader, and counts what was read."""

    kept: dict[str, tuple[bytes, Summary | None]] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is read while it is not set."""

    def keep(self, at: Window, seed: int) -> None:
        self.kept[at.name] = seed.to_bytes(4, "little"), WORLD.summary(seed)

    async def marks(self, windows: Sequence[Window]) -> Sequence[bytes | None]:
        return [self.kept.get(each.name, (None,))[0] for each in windows]

    async def summaries(self, windows: Sequence[Window]) -> Sequence[Summary | None]:
        self.read += [each.name for each in windows]
        await self.gate.wait()
        return [self.kept.get(each.name, (None, None))[1] for each in windows]


@pytest.fixture
def summaries() -> Summaries:
    """Of twelve hours."""
    found = Summaries()
    found.gate.set()
    for seed, at in enumerate(HOURS):
        found.keep(at, seed)
    return found


def recalling(summaries: Summaries, room: int = 1 << 30) -> Recall:
    return Recall(summaries, Shelf[Any](room))


async def history(
    recall: Recall, windows: Sequence[Window], anomaly: Window, lag: timedelta = LAG
) -> History:
    return await recall(WORLD.schema, windows, anomaly, lag)


def anew(
    summaries: Summaries, windows: Sequence[Window], anomaly: Window, lag: timedelta = LAG
) -> History:
    """The history without anything that is kept."""
    pairs = pair_up(windows, lag)
    found = [summary for _, summary in map(summaries.kept.__getitem__, (w.name for w in windows))]
    whole = [summary for summary in found if summary is not None]
    return History.of(FRAME, whole, pairs, phases_of(windows, pairs, anomaly, lag))


def assert_same(found: History, expected: History) -> None:
    assert list(found.pairs) == list(expected.pairs)
    for one, other in zip(found.windows, expected.windows, strict=True):
        assert one.gfi.tolist() == other.gfi.tolist()
        assert one.standard_error.tolist() == other.standard_error.tolist()
    assert found.past is not None
    assert expected.past is not None
    # Kept to float32.
    np.testing.assert_allclose(found.past.between, expected.past.between, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        found.past.from_usual, expected.past.from_usual, rtol=1e-6, atol=1e-6
    )
    assert found.past.laters.tolist() == expected.past.laters.tolist()
    np.testing.assert_allclose(found.past.usual.gfi, expected.past.usual.gfi)
    np.testing.assert_allclose(found.past.usual.lfis, expected.past.usual.lfis, atol=1e-6)


@pytest.mark.parametrize("room", [0, 20_000, 1 << 30])
@pytest.mark.parametrize("lag", [HOUR, LAG])
async def test_hour_by_hour_it_is_what_it_would_be_anew(
    summaries: Summaries, room: int, lag: timedelta
) -> None:
    recall = recalling(summaries, room)
    for end in (9, 9, 10, 11, 6):
        past, anomaly = HOURS[end - 6 : end], HOURS[end]
        found = await history(recall, past, anomaly, lag)
        assert_same(found, anew(summaries, past, anomaly, lag))
    assert recall.shelf.taken <= room


async def test_nothing_is_read_twice(summaries: Summaries) -> None:
    recall = recalling(summaries)
    await history(recall, HOURS[:9], HOURS[9])
    assert sorted(summaries.read) == sorted(each.name for each in HOURS[:9])
    summaries.read.clear()
    await history(recall, HOURS[:9], HOURS[9])
    assert summaries.read == []


async def test_an_hour_later_only_the_hours_of_one_phase_are_read(summaries: Summaries) -> None:
    recall = recalling(summaries)
    await history(recall, HOURS[:9], HOURS[9])
    summaries.read.clear()
    await history(recall, HOURS[1:10], HOURS[10])
    # Hour 0 has left its phase and 9 has come; what is usual an hour later is of 1, 4 and 7.
    assert set(summaries.read) == {HOURS[n].name for n in (1, 3, 4, 6, 7, 9)}


async def test_who_asks_at_the_same_time_gets_the_first_ones_answer(summaries: Summaries) -> None:
    recall = recalling(summaries)
    found = await asyncio.gather(*(history(recall, HOURS[:9], HOURS[9]) for _ in range(4)))
    assert len(summaries.read) == 9
    for each in found:
        assert_same(each, anew(summaries, HOURS[:9], HOURS[9]))


async def test_few_histories_are_worked_out_at_once_and_what_is_at_hand_does_not_wait(
    summaries: Summaries,
) -> None:
    """Each takes a lot of memory while it is worked out."""
    recall = recalling(summaries)
    await history(recall, HOURS[:9], HOURS[9])
    others = [
        [replace(each, model=f"other_{n}") for each in (*HOURS[:9], HOURS[9])] for n in range(4)
    ]
    for windows in others:
        for seed, each in enumerate(windows):
            summaries.keep(each, seed)
    summaries.read.clear()
    summaries.gate.clear()
    cold = [asyncio.create_task(history(recall, ws[:9], ws[9])) for ws in others]
    for _ in range(100):
        await asyncio.sleep(0)
    at_hand = await history(recall, HOURS[:9], HOURS[9])
    assert_same(at_hand, anew(summaries, HOURS[:9], HOURS[9]))
    assert {name.split("/")[1] for name in summaries.read} == {"other_0", "other_1"}
    summaries.gate.set()
    for found, windows in zip(await asyncio.gather(*cold), others, strict=True):
        assert_same(found, anew(summaries, windows[:9], windows[9]))


async def test_a_summary_that_is_another_is_read_again(summaries: Summaries) -> None:
    recall = recalling(summaries)
    await history(recall, HOURS[:9], HOURS[9])
    summaries.keep(HOURS[4], 77)
    found = await history(recall, HOURS[:9], HOURS[9])
    assert_same(found, anew(summaries, HOURS[:9], HOURS[9]))


async def test_what_is_missing_or_corrupt_is_left_out(summaries: Summaries) -> None:
    del summaries.kept[HOURS[0].name]
    summaries.kept[HOURS[5].name] = b"mark", None
    found = await history(recalling(summaries), HOURS[:11], HOURS[11])
    intact = [each for each in HOURS[1:11] if each is not HOURS[5]]
    assert_same(found, anew(summaries, intact, HOURS[11]))


async def test_a_summary_that_became_corrupt_is_left_out_once_it_is_needed(
    summaries: Summaries,
) -> None:
    recall = recalling(summaries)
    await history(recall, HOURS[:9], HOURS[9])
    mark, _ = summaries.kept[HOURS[6].name]
    summaries.kept[HOURS[6].name] = mark, None
    # Hour 9 makes another phase of 3 and 6, so that 6 is needed again.
    found = await history(recall, HOURS[1:10], HOURS[10])
    intact = [each for each in HOURS[1:10] if each is not HOURS[6]]
    assert_same(found, anew(summaries, intact, HOURS[10]))


async def test_a_short_past_has_no_usual_window(summaries: Summaries) -> None:
    found = await history(recalling(summaries), HOURS[:3], HOURS[3])
    assert (len(found.windows), len(found.pairs), found.past) == (3, 2, None)
