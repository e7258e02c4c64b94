"""The state machine: one table, and nothing beside it."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftershock.v1 import incident_pb2
from services.runbook.domain.errors import InvalidTransition
from services.runbook.domain.mitigation import (
    ALLOWED,
    IN_FORCE,
    PENDING,
    Mitigation,
    MitigationState,
    propose,
    transition,
)
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.preview import MissingPreview
from tests.unit.services.runbook.builders import MODEL, WALL_TIME

FINAL = {
    MitigationState.RELEASED,
    MitigationState.REJECTED,
    MitigationState.EXPIRED,
    MitigationState.REVERTED,
    MitigationState.CONFLICTED,
}


_S = MitigationState


def proposed() -> Mitigation:
    return propose(
        mitigation_id="1",
        plan=Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("user_embedding",)),
        preview=MissingPreview("none"),
        proposer="policy:threshold",
        time=WALL_TIME,
        expire_time=WALL_TIME,
        reason="policy threshold",
    )


def moved(mitigation: Mitigation, to: MitigationState) -> Mitigation:
    return transition(mitigation, to, actor="ada", time=WALL_TIME, reason="because")


def test_the_states_are_the_contracts() -> None:
    declared = {
        name.removeprefix("MITIGATION_STATE_")
        for name in incident_pb2.MitigationState.DESCRIPTOR.values_by_name
    }
    assert declared - {"UNSPECIFIED"} == set(MitigationState)
    assert ALLOWED.keys() == set(MitigationState)


def test_a_passage_comes_from_another_state() -> None:
    applied = moved(moved(moved(proposed(), _S.APPROVED), _S.APPLYING), _S.APPLIED)
    renewed = transition(applied, _S.APPLIED, actor="eve", time=WALL_TIME, reason="a lease")
    assert renewed.passage(_S.APPLIED) == applied.history[-1]
    assert renewed.approver == "ada"
    assert renewed.passage(_S.REVERTED) is None


def test_final_states_have_no_way_out_and_others_have_one() -> None:
    assert {state for state, ways in ALLOWED.items() if not ways} == FINAL


def test_nothing_is_applied_but_through_an_approval() -> None:
    ways_into = {
        to: {state for state, ways in ALLOWED.items() if to in ways} for to in MitigationState
    }
    assert ways_into[MitigationState.PROPOSED] == {MitigationState.PROPOSED}
    assert ways_into[MitigationState.APPROVED] == {MitigationState.PROPOSED}
    # What is being released was approved before.
    assert ways_into[MitigationState.APPLYING] == {
        MitigationState.APPROVED,
        MitigationState.RELEASING,
    }
    assert ways_into[MitigationState.APPLIED] == {MitigationState.APPLYING, MitigationState.APPLIED}
    assert ways_into[MitigationState.RELEASING] == {
        MitigationState.EFFECTIVE,
        MitigationState.RELEASING,
    }
    assert ways_into[MitigationState.RELEASED] == {MitigationState.RELEASING}


def test_what_may_have_an_effect_leaves_only_by_undoing_it_or_by_knowing_there_is_none() -> None:
    for state in IN_FORCE:
        outside = ALLOWED[state] - IN_FORCE
        assert outside <= FINAL - {MitigationState.REJECTED, MitigationState.EXPIRED}
    assert not PENDING & IN_FORCE


@pytest.mark.parametrize("state", MitigationState)
def test_a_refusal_names_the_state_and_the_ways_there_are(state: MitigationState) -> None:
    mitigation = _brought_to(state)
    for to in set(MitigationState) - ALLOWED[state]:
        with pytest.raises(InvalidTransition) as refusal:
            moved(mitigation, to)
        assert f"is {state} and cannot become {to}" in str(refusal.value)
        for way in ALLOWED[state]:
            assert way in str(refusal.value)


@given(st.lists(st.sampled_from(MitigationState), max_size=12))
def test_any_sequence_of_wishes_leaves_a_history_of_allowed_steps(
    wishes: Sequence[MitigationState],
) -> None:
    mitigation = proposed()
    for wish in wishes:
        try:
            mitigation = moved(mitigation, wish)
        except InvalidTransition:
            continue
    steps = mitigation.history
    assert steps[0].before == ""
    assert steps[-1].after == mitigation.state
    for earlier, later in itertools.pairwise(steps):
        assert later.before == earlier.after
        assert later.after in ALLOWED[MitigationState(later.before)]
    states = [step.after for step in steps]
    if MitigationState.APPLIED in states:
        assert MitigationState.APPROVED in states[: states.index(MitigationState.APPLIED)]


def test_the_history_says_who_and_why() -> None:
    mitigation = moved(proposed(), MitigationState.APPROVED)
    assert mitigation.proposer == "policy:threshold"
    assert mitigation.approver == "ada"
    assert mitigation.reason == "because"
    assert proposed().approver is None


def _brought_to(state: MitigationState) -> Mitigation:
    ways = [proposed()]
    for mitigation in ways:
        if mitigation.state is state:
            return mitigation
        seen = {step.after for step in mitigation.history}
        ways += [moved(mitigation, to) for to in ALLOWED[mitigation.state] if to not in seen]
    raise AssertionError(f"{state} cannot be reached")
