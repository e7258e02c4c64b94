"""Killed features as plans change and undo them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.kill_switch import Kill, Kills, restored, settings_of, switched
from services.runbook.domain.plan import KILLED, SERVED, Change, MitigationKind, Plan
from services.runbook.domain.suspect import SuspectLabel

FEATURES = st.frozensets(st.sampled_from("abcdef"))


def kills(*features: str) -> Kills:
    return {feature: Kill("earlier") for feature in features}


@given(FEATURES, FEATURES)
def test_undoing_is_the_inverse(killed: frozenset[str], wanted: frozenset[str]) -> None:
    before = kills(*killed)
    change = Change(settings_of(wanted, before), dict.fromkeys(wanted, KILLED))
    after = switched(before, "ours", change)
    assert after == {**{feature: Kill("ours") for feature in wanted}, **before}
    assert restored(after, "ours", change) == before


@given(FEATURES, FEATURES)
def test_masks_and_kills_of_the_same_features_stand_apart(
    killed: frozenset[str], masked: frozenset[str]
) -> None:
    before = kills(*killed)
    plan = Plan(
        "INC-1",
        "models/m",
        MitigationKind.ID_MASK,
        labels=tuple(SuspectLabel("4711", feature) for feature in masked),
    )
    change = Change(settings_of(plan.target, before), plan.target)
    assert set(change.previous.values()) <= {SERVED}
    after = switched(before, "ours", change)
    assert settings_of(plan.target, after) == plan.target
    assert settings_of(killed, after) == dict.fromkeys(killed, KILLED)
    assert restored(after, "ours", change) == before


def test_a_changed_ground_is_a_conflict_that_names_what_changed() -> None:
    change = Change({"a": SERVED, "b": SERVED}, {"a": KILLED, "b": KILLED})
    with pytest.raises(ActuatorConflict, match="switched b since"):
        switched(kills("b"), "ours", change)


def test_what_is_coming_back_by_stages_is_a_conflict() -> None:
    returning = {"a": Kill("earlier", served_percent=10)}
    change = Change(settings_of("a", returning), {"a": KILLED})
    assert change.previous == {"a": "served to 10 %"}
    with pytest.raises(ActuatorConflict, match="a is being served again by stages"):
        switched(returning, "ours", change)


def test_what_somebody_else_has_switched_meanwhile_is_left_to_them() -> None:
    change = Change({"a": SERVED, "b": KILLED}, {"a": KILLED, "b": KILLED})
    assert restored(kills("b", "c"), "ours", change) == kills("b", "c")
    assert restored(kills("a", "b", "c"), "ours", change) == kills("b", "c")
