"""Limits that nothing crosses."""

from datetime import timedelta

import pytest

from services.runbook.domain.guardrail import FreezeWindow, GuardRails
from services.runbook.domain.plan import MitigationKind, Plan
from tests.unit.services.runbook.builders import MODEL, WALL_TIME


def plan(*features: str, model: str = MODEL) -> Plan:
    return Plan("INC-1", model, MitigationKind.KILL_SWITCH, features)


@pytest.mark.parametrize(
    ("rule", "protects"),
    [
        ("bid", {"bid"}),
        ("ads_ctr/bid", {"bid"}),
        ("feed/bid", set()),
        ("user_*", {"user_id", "user_age"}),
        ("ads_ctr/*", {"bid", "user_id", "user_age"}),
        ("BID", set()),
    ],
)
def test_never_kill(rule: str, protects: set[str]) -> None:
    rails = GuardRails(never_kill=(rule,))
    assert set(rails.protected(MODEL, ["bid", "user_id", "user_age"])) == protects
    refusal = rails.refusal(plan("bid"), (), WALL_TIME)
    assert ("never_kill" in (refusal or "")) == ("bid" in protects)


def test_most_features_at_once() -> None:
    rails = GuardRails(most_features_at_once=2)
    assert rails.refusal(plan("a", "b"), (), WALL_TIME) is None
    assert "most_features_at_once" in str(rails.refusal(plan("a", "b", "c"), (), WALL_TIME))


def test_most_features_killed_counts_each_once_over_all_models() -> None:
    rails = GuardRails(most_features_killed=3)
    in_force = [plan("a"), plan("a", model="models/feed")]
    assert rails.refusal(plan("b"), in_force, WALL_TIME) is None
    assert rails.refusal(plan("a", "b"), in_force, WALL_TIME) is None
    assert "most_features_killed" in str(rails.refusal(plan("b", "c"), in_force, WALL_TIME))


@pytest.mark.parametrize(("minutes", "frozen"), [(-1, False), (0, True), (59, True), (60, False)])
def test_a_freeze_window_says_until_when(minutes: int, frozen: bool) -> None:
    end = WALL_TIME + timedelta(hours=1)
    rails = GuardRails(freeze_windows=(FreezeWindow(WALL_TIME, end, "the sale"),))
    refusal = rails.refusal(plan("a"), (), WALL_TIME + timedelta(minutes=minutes))
    said = "nothing is switched off until 2026-11-22 04:12 UTC: the sale (freeze_windows)"
    assert refusal == (said if frozen else None)
