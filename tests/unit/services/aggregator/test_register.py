"""A checkpoint that is new to its model is an event of the model, once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.aggregator.adapters.memory_timeline import MemoryTimeline
from services.aggregator.domain.lineage.facts import EventKind
from services.aggregator.domain.lineage.nodes import model_node
from services.aggregator.register import Register
from tests.unit.services.aggregator.worlds import MODEL, MemoryStore, checkpoint

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)


@pytest.fixture
def timeline() -> MemoryTimeline:
    return MemoryTimeline(timedelta(days=8), lambda: NOW)


@pytest.fixture
def register(timeline: MemoryTimeline) -> Register:
    store = MemoryStore()
    return Register(store.checkpoints, store.checkpoints, timeline, lambda: NOW)


async def test_a_new_checkpoint_is_an_event(register: Register, timeline: MemoryTimeline) -> None:
    first = checkpoint()
    second = replace(first, version="next", digest="b" * 64)
    for made in (first, first, second, second):
        await register(made)
    events = [*timeline.kept.values()]
    assert [(event.node, event.kind, event.time) for event in events] == [
        (model_node(MODEL), EventKind.CHECKPOINT_PUBLISH, NOW)
    ] * 2
    assert events[1].summary.startswith(f"models/{MODEL}/checkpoints/next scores")
    assert (await register.directory.model(MODEL)).digest == second.digest


async def test_two_that_take_turns_are_told_once_each(
    register: Register, timeline: MemoryTimeline
) -> None:
    first = checkpoint()
    second = replace(first, version="next", digest="b" * 64)
    for made in (first, second, first, second):
        await register(made)
    assert len(timeline.kept) == 2
