"""Columns that change are told as events, once, and those that are gone have ended."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.aggregator.adapters.memory_schemas import MemorySchemas
from services.aggregator.domain.errors import AheadOfTime
from services.aggregator.domain.horizon import Horizon
from services.aggregator.domain.lineage.facts import EventKind, LineageFacts, TimelineEvent
from services.aggregator.domain.lineage.nodes import parse_node
from services.aggregator.domain.lineage.schema import Observation, Schema, SchemaChange
from services.aggregator.observe import Observe

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
USERS = parse_node("dataset:postgres://db:5432:public.users")


class Recorder:
    """Records facts, each once by its key; fails the first time if told so."""

    def __init__(self) -> None:
        self.facts: dict[str, LineageFacts] = {}
        self.is_down = False

    async def __call__(self, facts: LineageFacts) -> bool:
        if self.is_down:
            raise ConnectionError
        is_new = facts.key not in self.facts
        self.facts.setdefault(facts.key, facts)
        return is_new

    @property
    def events(self) -> list[TimelineEvent]:
        return [event for facts in self.facts.values() for event in facts.events]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def observe(recorder: Recorder) -> Observe:
    horizon = Horizon(timedelta(days=1), lambda: NOON + 12 * HOUR)
    return Observe(MemorySchemas(), recorder, horizon)


def seen(key: str, hours: float, **columns: str) -> Observation:
    facts = LineageFacts(key=key, provenance="openlineage job a:b", time=NOON + hours * HOUR)
    return Observation(facts, {USERS: Schema(columns)})


async def test_columns_that_change_are_an_event(observe: Observe, recorder: Recorder) -> None:
    await observe(seen("1", 0, age="int", name="text"))
    await observe(seen("2", 1, age="float", city="text"))
    (event,) = recorder.events
    assert (event.node, event.kind, event.time) == (USERS, EventKind.SCHEMA_CHANGE, NOON + HOUR)
    assert event.summary == "columns changed: added city; removed name; retyped age"
    assert json.loads(event.details) == {"added": ["city"], "removed": ["name"], "retyped": ["age"]}
    assert [str(node) for node in recorder.facts["2"].ended_nodes] == [
        "column:postgres://db:5432:public.users:name"
    ]


async def test_the_same_columns_are_none(observe: Observe, recorder: Recorder) -> None:
    await observe(seen("1", 0, age="int", name="text"))
    assert await observe(seen("2", 1, name="text", age="int"))
    assert recorder.events == []


async def test_what_is_late_says_nothing(observe: Observe, recorder: Recorder) -> None:
    await observe(seen("2", 2, age="int"))
    await observe(seen("1", 1, age="float"))
    await observe(seen("3", 3, age="int"))
    assert recorder.events == []


async def test_a_change_there_and_back_is_two(observe: Observe, recorder: Recorder) -> None:
    for number, of in enumerate(("int", "float", "int")):
        await observe(seen(str(number), number, age=of))
    assert len({event.event_id for event in recorder.events}) == 2


async def test_an_observation_counts_once(observe: Observe, recorder: Recorder) -> None:
    await observe(seen("1", 0, age="int"))
    assert await observe(seen("2", 1, age="float"))
    assert not await observe(seen("2", 1, age="float"))
    assert len(recorder.events) == 1


async def test_a_change_is_seen_again_after_a_failure(observe: Observe, recorder: Recorder) -> None:
    await observe(seen("1", 0, age="int"))
    recorder.is_down = True
    with pytest.raises(ConnectionError):
        await observe(seen("2", 1, age="float"))
    recorder.is_down = False
    await observe(seen("2", 1, age="float"))
    assert len(recorder.events) == 1


async def test_what_has_yet_to_happen_is_refused(observe: Observe) -> None:
    await observe(seen("1", 36, age="int"))
    with pytest.raises(AheadOfTime) as caught:
        await observe(seen("2", 36.1, age="int"))
    assert caught.value.field == "eventTime"


def test_of_many_columns_the_first_are_named() -> None:
    after = Schema({f"c{number:02}": "int" for number in range(12)})
    change = SchemaChange.between(Schema({}), after)
    event = change.event(USERS, NOON, after.version, "x")
    assert event.summary.endswith("c08, c09 and 2 more")
