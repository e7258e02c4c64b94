"""What every timeline promises: one suite over memory, a real Valkey and a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from services.aggregator.adapters.memory_timeline import MemoryTimeline
from services.aggregator.adapters.redis_timeline import RedisTimeline
from services.aggregator.domain.lineage.facts import EventKind, TimelineEvent
from services.aggregator.domain.lineage.nodes import feature_node, parse_node
from services.aggregator.lineage_ports import EventPosition, EventQuery, Timeline

RETENTION = timedelta(days=8)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
JOB = parse_node("job:airflow:encode:daily%25")
AGE = feature_node("age")
EVERYTHING = EventQuery(None)


@dataclass
class Clock:
    """What time it is for the timeline. Redis' own clock, which expires keys, goes on."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timeline(backend: Redis | None, clock: Clock) -> Timeline:
    if backend is None:
        return MemoryTimeline(RETENTION, clock)
    return RedisTimeline(backend, RETENTION, clock)


def event(
    clock: Clock, name: str, ago: timedelta = timedelta(), **changes: object
) -> TimelineEvent:
    plain = TimelineEvent(
        event_id=name,
        node=JOB,
        kind=EventKind.PIPELINE_RUN,
        time=clock() - ago,
        summary=f"the run {name} ended",
        actor="airflow",
        details='{"rows": 3}',
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def names(events: Sequence[TimelineEvent]) -> list[str]:
    return [event.event_id for event in events]


async def test_an_event_comes_back_as_it_went_in(timeline: Timeline, clock: Clock) -> None:
    told = event(clock, "é:1", node=AGE, kind=EventKind.SCHEMA_CHANGE, details="", actor="")
    assert await timeline.record([told]) == 1
    assert await timeline.events(EVERYTHING, 10) == [told]


async def test_an_event_counts_once_by_its_id(timeline: Timeline, clock: Clock) -> None:
    first = event(clock, "1")
    again = replace(first, node=AGE, time=first.time - timedelta(hours=1), summary="another")
    assert await timeline.record([first, first]) == 1
    assert await timeline.record([again]) == 0
    assert await timeline.events(EVERYTHING, 10) == [first]
    assert await timeline.events(EventQuery([AGE]), 10) == []


async def test_the_latest_come_first_and_the_greatest_id_of_a_time(
    timeline: Timeline, clock: Clock
) -> None:
    hour = timedelta(hours=1)
    told = [event(clock, "b", hour), event(clock, "a", hour), event(clock, "c", 2 * hour)]
    await timeline.record([*told, event(clock, "0")])
    assert names(await timeline.events(EVERYTHING, 10)) == ["0", "b", "a", "c"]


async def test_only_what_is_asked_for(timeline: Timeline, clock: Clock) -> None:
    hour = timedelta(hours=1)
    failed = event(clock, "failed", 2 * hour, kind=EventKind.FAILED_RUN)
    other = event(clock, "other", hour, node=AGE)
    old = event(clock, "old", 3 * hour)
    await timeline.record([failed, other, old])
    assert names(await timeline.events(EventQuery([JOB]), 9)) == ["failed", "old"]
    assert names(await timeline.events(EventQuery([JOB, AGE]), 9)) == ["other", "failed", "old"]
    assert await timeline.events(EventQuery([]), 9) == []
    assert names(await timeline.events(EventQuery(None, start=failed.time), 9)) == [
        "other",
        "failed",
    ]
    assert names(await timeline.events(EventQuery(None, end=failed.time), 9)) == ["old"]
    kinds = EventQuery(None, kinds=[EventKind.FAILED_RUN])
    assert names(await timeline.events(kinds, 9)) == ["failed"]


async def test_pages_follow_each_other(timeline: Timeline, clock: Clock) -> None:
    """Also where many events are of one time, and where most are of another kind."""
    minute = timedelta(minutes=1)
    told = [
        event(
            clock,
            f"{number:02}",
            (number // 7) * minute,
            node=JOB if number % 2 else AGE,
            kind=EventKind.DEPLOY if number % 5 == 0 else EventKind.PIPELINE_RUN,
        )
        for number in range(30)
    ]
    await timeline.record(told)
    for query in (EVERYTHING, EventQuery([JOB, AGE], kinds=[EventKind.DEPLOY])):
        whole = await timeline.events(query, 100)
        assert {e.event_id for e in whole} == {e.event_id for e in told if query.holds(e)}
        paged: list[TimelineEvent] = []
        reached = None
        while page := await timeline.events(query, 4, reached):
            paged.extend(page)
            reached = EventPosition.of(page[-1])
        assert paged == whole


async def test_events_go_when_they_are_too_old(timeline: Timeline, clock: Clock) -> None:
    almost = event(clock, "almost", RETENTION - timedelta(milliseconds=300))
    assert await timeline.record([almost, event(clock, "too old", RETENTION)]) == 1
    clock.time += timedelta(milliseconds=400)
    while await timeline.events(EVERYTHING, 9):  # Redis' own clock has to pass as well
        pass
    new = event(clock, "new")
    await timeline.record([new])
    assert await timeline.events(EventQuery([JOB]), 9) == [new]


class TestHolds:
    """Which events a query asks for."""

    @given(st.integers(-2, 2), st.booleans())
    def test_the_end_is_exclusive(self, hours: int, of_node: bool) -> None:
        time = NOON + timedelta(hours=hours)
        node = AGE if of_node else JOB
        happened = TimelineEvent("1", node, EventKind.DEPLOY, time, "deployed")
        query = EventQuery([AGE], NOON, NOON + timedelta(hours=1))
        assert query.holds(happened) == (of_node and hours == 0)
