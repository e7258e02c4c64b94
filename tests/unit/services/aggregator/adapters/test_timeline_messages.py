"""Events of the timeline between the contract and the domain."""

from typing import Any

import pytest

from aftershock.v1.lineage_pb2 import EventKind as KindMessage
from aftershock.v1.lineage_pb2 import TimelineEvent as EventMessage
from services.aggregator.adapters.timeline_messages import event_message, event_of, kind_of
from services.aggregator.domain.lineage.errors import InvalidFacts, InvalidNode
from services.aggregator.domain.lineage.facts import EventKind


def message(**changes: str) -> EventMessage:
    told: Any = {"node": "feature:user_age", "event_id": "1", "summary": "deployed"} | changes
    return EventMessage(kind=KindMessage.EVENT_KIND_DEPLOY, **told)


def test_every_kind_has_its_own() -> None:
    known = {kind_of(kind) for kind in KindMessage.values() if kind}
    assert known == set(EventKind)


@pytest.mark.parametrize("details", ["", "{}", '{"commit": "a1"}'])
def test_an_event_goes_there_and_back(details: str) -> None:
    told = message(details_json=details, actor="ci")
    told.time.FromJsonString("2026-11-20T12:00:00.000001Z")
    assert event_message(event_of(told, "event")) == told


@pytest.mark.parametrize("details", ["3", "[]", "{", "null", "[" * 100_000])
def test_details_are_an_object(details: str) -> None:
    with pytest.raises(InvalidFacts) as caught:
        event_of(message(details_json=details), "events[2]")
    assert caught.value.field == "events[2].details_json"


def test_it_happened_to_a_node() -> None:
    with pytest.raises(InvalidNode) as caught:
        event_of(message(node="user_age"), "event")
    assert caught.value.field == "event.node"
