"""Killed features as a set that plans change and undo."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.kill_switch import restored, settings_of, switched
from services.runbook.domain.plan import KILLED, SERVED, Change

FEATURES = st.frozensets(st.sampled_from("abcdef"))


@given(FEATURES, FEATURES)
def test_undoing_is_the_inverse(killed: frozenset[str], wanted: frozenset[str]) -> None:
    change = Change(settings_of(wanted, killed), dict.fromkeys(wanted, KILLED))
    after = switched(killed, change)
    assert after == killed | wanted
    assert restored(after, change) == killed


def test_a_changed_ground_is_a_conflict_that_names_what_changed() -> None:
    change = Change({"a": SERVED, "b": SERVED}, {"a": KILLED, "b": KILLED})
    with pytest.raises(ActuatorConflict, match="switched b since"):
        switched(frozenset("b"), change)


def test_what_somebody_else_has_switched_meanwhile_is_left_to_them() -> None:
    change = Change({"a": SERVED, "b": KILLED}, {"a": KILLED, "b": KILLED})
    assert restored(frozenset("bc"), change) == frozenset("bc")
    assert restored(frozenset("abc"), change) == frozenset("bc")
