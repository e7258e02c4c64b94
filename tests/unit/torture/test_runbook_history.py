"""A judge that finds nothing in a bad history would prove nothing."""

from collections.abc import Sequence

import pytest

from services.runbook.domain.mitigation import MitigationState
from tests.torture.runbook_history import Entry, judge

NAME = "incidents/INC-1/mitigations/1"
_S = MitigationState
APPROVED = (_S.PROPOSED, _S.APPROVED)
APPLIED = (*APPROVED, _S.APPLYING, "killed", _S.APPLIED)
EFFECTIVE = (*APPLIED, _S.VERIFYING, _S.EFFECTIVE)
RELEASING = (*EFFECTIVE, _S.RELEASING, "exposed 10")
KILLED_AGAIN = (*RELEASING, _S.APPLYING, "exposed 0", _S.APPLIED)
UNDONE = (*APPLIED, _S.REVERTING, "served", _S.REVERTED)


def history(*steps: str) -> list[Entry]:
    entries, state, ordinal = [], "", 0
    for step in steps:
        if step.startswith("exposed"):
            entries.append(Entry("exposed", NAME, 0, "", step.split()[1]))
        elif step in {"killed", "served"}:
            entries.append(Entry(step, NAME, 0, "", "user_embedding"))
        else:
            entries.append(Entry("moved", NAME, ordinal, state, step))
            state, ordinal = step, ordinal + 1
    return entries


def broken(entries: Sequence[Entry], acknowledged: Sequence[str] = ()) -> dict[str, int]:
    moves = [entry for entry in entries if entry.what == "moved"]
    counts = judge(entries, moves, acknowledged)
    return {key: count for key, count in counts.items() if count and key != "mitigations"}


@pytest.mark.parametrize(
    "steps",
    [
        EFFECTIVE,
        UNDONE,
        RELEASING,
        KILLED_AGAIN,
        (*RELEASING, _S.RELEASING, "exposed 100", "served", _S.RELEASED),
        # Whoever exposes may be overtaken by whoever kills again.
        (*EFFECTIVE, _S.RELEASING, _S.APPLYING, "exposed 10", "exposed 0", _S.APPLIED),
        (*APPROVED, _S.REVERTED),
        (*APPROVED, _S.APPLYING, _S.REVERTING, _S.REVERTED),
        (*APPROVED, _S.APPLYING, _S.REVERTING, "killed", "served", _S.REVERTED),
        (_S.PROPOSED, _S.EXPIRED),
        (_S.PROPOSED, _S.REJECTED),
    ],
)
def test_what_may_happen(steps: Sequence[str]) -> None:
    assert broken(history(*steps)) == {}


@pytest.mark.parametrize(
    ("steps", "promise"),
    [
        ((*APPROVED, _S.APPLYING, "killed", "killed", _S.APPLIED), "effects_applied_twice"),
        ((_S.PROPOSED, "killed"), "applied_without_approval"),
        ((_S.PROPOSED, _S.REJECTED, "killed"), "applied_without_approval"),
        ((*APPLIED, _S.REVERTING, _S.REVERTED), "applied_without_approval"),
        (APPROVED, "approved_but_never_applied"),
        (
            (*APPROVED, _S.APPLYING, _S.APPLIED, _S.VERIFYING, _S.EFFECTIVE),
            "approved_but_never_applied",
        ),
        ((*EFFECTIVE, "served"), "approved_but_never_applied"),
        ((*EFFECTIVE, "exposed 10"), "approved_but_never_applied"),
        ((*KILLED_AGAIN, "exposed 10"), "approved_but_never_applied"),
        ((*RELEASING, _S.APPLYING, _S.APPLIED), "approved_but_never_applied"),
        ((*RELEASING, "served", _S.RELEASED, "killed"), "applied_without_approval"),
        ((*APPROVED, _S.CONFLICTED), "approved_but_never_applied"),
        ((_S.PROPOSED, _S.APPLYING, _S.REVERTING, _S.REVERTED), "invalid_transitions"),
    ],
)
def test_what_may_not(steps: Sequence[str], promise: str) -> None:
    assert promise in broken(history(*steps))


def test_a_yes_that_was_forgotten() -> None:
    entries = history(_S.PROPOSED, _S.EXPIRED)
    assert broken(entries, [NAME]) == {"approved_but_never_applied": 1}
    assert broken([], [NAME]) == {"approved_but_never_applied": 1}


def test_an_audit_that_lacks_a_row_or_has_one_too_many() -> None:
    entries = history(_S.PROPOSED, _S.EXPIRED)
    assert judge(entries, entries[:1], ())["audit_breaks"] == 1
    invented = Entry("moved", "incidents/INC-9", 0, "", "OPEN")
    assert judge(entries, [*entries, invented], ())["audit_breaks"] == 1


def test_what_a_pause_calls_off_is_no_broken_promise_and_what_begins_in_one_is() -> None:
    paused = Entry("moved", "pause", 0, "RUNNING", "PAUSED")
    approved, ending = history(*APPROVED), history(*APPROVED, _S.CONFLICTED)[-1:]
    assert broken([*approved, paused, *ending]) == {}
    begun = history(*EFFECTIVE)
    assert broken([*begun[:2], paused, *begun[2:]]) == {"invalid_transitions": 1}
