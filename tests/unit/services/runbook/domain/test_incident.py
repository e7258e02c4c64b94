"""An incident gathers windows, and keeps still while somebody decides."""

from dataclasses import replace

import pytest

from services.runbook.domain.errors import InvalidTransition, MitigationNotFound
from services.runbook.domain.incident import opened
from services.runbook.domain.mitigation import MitigationState, propose
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.preview import MissingPreview
from tests.unit.services.runbook.builders import BROKEN, MODEL, WALL_TIME, comparison, event

INCIDENT = opened("INC-1", event(1, BROKEN), WALL_TIME)
PROPOSAL = propose(
    mitigation_id="1",
    plan=Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("user_embedding",)),
    preview=MissingPreview("off"),
    proposer="policy:threshold",
    time=WALL_TIME,
    expire_time=WALL_TIME,
    reason="policy threshold",
)


def test_it_opens_with_what_is_known() -> None:
    assert INCIDENT.is_open
    assert INCIDENT.name == "incidents/INC-1"
    assert INCIDENT.close_time is None
    assert INCIDENT.create_time == WALL_TIME
    assert "1.31" in INCIDENT.timeline[0].message
    assert "user_embedding" in INCIDENT.advice


def test_a_window_counts_once_and_takes_its_place() -> None:
    later = INCIDENT.attached(event(3, BROKEN), WALL_TIME).attached(event(2, 1.2), WALL_TIME)
    assert [w.start_time.hour for w in later.windows] == [1, 2, 3]
    assert later.attached(event(2, 1.2), WALL_TIME) is later
    assert later.covers(event(2, 1.2).window)
    assert not later.covers(event(4, 1.2).window)


def test_the_newest_comparison_stands_until_there_is_a_proposal() -> None:
    newer = INCIDENT.attached(event(2, 1.4), WALL_TIME)
    assert newer.comparison == comparison(2, 1.4)
    waiting = newer.with_proposal(PROPOSAL).attached(event(3, 1.5), WALL_TIME)
    assert waiting.comparison == comparison(2, 1.4)


def test_a_window_without_comparison_keeps_the_one_there_is() -> None:
    bare = replace(event(2, BROKEN), comparison=None)
    assert INCIDENT.attached(bare, WALL_TIME).comparison == INCIDENT.comparison


def test_a_closed_incident_keeps_what_it_was_closed_on() -> None:
    closed = INCIDENT.closed(actor="runbook", time=WALL_TIME, reason="healthy")
    assert closed.close_time == WALL_TIME
    assert closed.attached(event(0, BROKEN), WALL_TIME).comparison == INCIDENT.comparison
    with pytest.raises(InvalidTransition, match="CLOSED"):
        closed.closed(actor="runbook", time=WALL_TIME, reason="again")


def test_an_unknown_mitigation_is_said_with_those_there_are() -> None:
    with pytest.raises(MitigationNotFound, match="no mitigation 7; it has 1"):
        INCIDENT.with_proposal(PROPOSAL).moved(
            "7", MitigationState.APPROVED, actor="ada", time=WALL_TIME, reason=""
        )
