"""Limits that nothing crosses."""

from datetime import timedelta

import pytest

from services.runbook.domain.blast_radius import NOT_ASKED, BlastRadius, Downstream, blast_radius
from services.runbook.domain.guardrail import (
    Begun,
    Circumstances,
    FreezeWindow,
    GuardRails,
    Quorum,
)
from services.runbook.domain.pause import Pause, PauseState
from services.runbook.domain.plan import MitigationKind, Plan
from tests.unit.services.runbook.builders import MODEL, WALL_TIME, comparison


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
    refusal = rails.refusal(plan("bid"), Circumstances(), WALL_TIME)
    assert ("never_kill" in (refusal or "")) == ("bid" in protects)


def test_most_features_at_once() -> None:
    rails = GuardRails(most_features_at_once=2)
    assert rails.refusal(plan("a", "b"), Circumstances(), WALL_TIME) is None
    assert "most_features_at_once" in str(
        rails.refusal(plan("a", "b", "c"), Circumstances(), WALL_TIME)
    )


def test_most_features_killed_counts_each_once_over_all_models() -> None:
    rails = GuardRails(most_features_killed=3)
    around = Circumstances([plan("a"), plan("a", model="models/feed")])
    assert rails.refusal(plan("b"), around, WALL_TIME) is None
    assert rails.refusal(plan("a", "b"), around, WALL_TIME) is None
    assert "most_features_killed" in str(rails.refusal(plan("b", "c"), around, WALL_TIME))


@pytest.mark.parametrize(("minutes", "frozen"), [(-1, False), (0, True), (59, True), (60, False)])
def test_a_freeze_window_says_until_when(minutes: int, frozen: bool) -> None:
    end = WALL_TIME + timedelta(hours=1)
    rails = GuardRails(freeze_windows=(FreezeWindow(WALL_TIME, end, "the sale"),))
    refusal = rails.refusal(plan("a"), Circumstances(), WALL_TIME + timedelta(minutes=minutes))
    said = "nothing is switched off until 2026-11-22 04:12 UTC: the sale (freeze_windows)"
    assert refusal == (said if frozen else None)


def test_of_freeze_windows_that_overlap_the_last_end_counts() -> None:
    windows = [
        FreezeWindow(WALL_TIME, WALL_TIME + timedelta(hours=hours), reason)
        for hours, reason in ((1, "the sale"), (3, "the move"), (2, "the audit"))
    ]
    rails = GuardRails(freeze_windows=tuple(windows))
    assert "until 2026-11-22 06:12 UTC: the move" in str(
        rails.refusal(plan("a"), Circumstances(), WALL_TIME)
    )


def test_most_features_killed_of_one_model() -> None:
    rails = GuardRails(most_features_killed_of_model=2)
    around = Circumstances([plan("a"), plan("x", "y", "z", model="models/feed")])
    assert rails.refusal(plan("b"), around, WALL_TIME) is None
    assert rails.refusal(plan("a", "b"), around, WALL_TIME) is None
    refusal = str(rails.refusal(plan("b", "c"), around, WALL_TIME))
    assert "it would be 3, more than 2 (most_features_killed_of_model)" in refusal


@pytest.mark.parametrize(("minutes", "rested"), [(0, False), (9.99, False), (10, True)])
def test_a_model_rests_between_two_mitigations(minutes: float, rested: bool) -> None:
    rails = GuardRails(cool_down=timedelta(minutes=10))
    around = Circumstances(begun=[Begun(MODEL, WALL_TIME - timedelta(minutes=minutes))])
    refusal = rails.refusal(plan("a"), around, WALL_TIME)
    assert (refusal is None) is rested
    assert rested or "(cool_down_minutes)" in str(refusal)
    assert rails.refusal(plan("a", model="models/feed"), around, WALL_TIME) is None


def test_a_daily_budget_is_of_the_last_24_hours_over_all_models() -> None:
    rails = GuardRails(daily_budget=2, cool_down=timedelta(0))
    hours = (1, 23, 24)
    begun = [Begun(f"models/{n}", WALL_TIME - timedelta(hours=n)) for n in hours]
    refusal = rails.refusal(plan("a"), Circumstances(begun=begun), WALL_TIME)
    assert "2 mitigations were begun in the last 24 hours" in str(refusal)
    assert rails.refusal(plan("a"), Circumstances(begun=begun[1:]), WALL_TIME) is None
    assert rails.refusal(plan("a"), Circumstances(begun=begun[:1]), WALL_TIME) is None


def test_a_pause_stops_everything_and_says_who_began_it() -> None:
    pause = Pause().moved(PauseState.PAUSED, actor="ada", time=WALL_TIME, reason="the sale")
    refusal = GuardRails().refusal(plan("a"), Circumstances(pause=pause), WALL_TIME)
    assert refusal == "mitigations are paused since 2026-11-22 03:12 UTC by ada: the sale"
    ended = pause.moved(PauseState.RUNNING, actor="ada", time=WALL_TIME, reason="over")
    assert GuardRails().refusal(plan("a"), Circumstances(pause=ended), WALL_TIME) is None


@pytest.mark.parametrize(
    ("features", "examples", "approvers"),
    [(1, 10, 1), (2, 10, 2), (1, 1000, 3), (5, 5000, 3)],
)
def test_the_quorum_follows_the_blast_radius(features: int, examples: int, approvers: int) -> None:
    rails = GuardRails(quorums=(Quorum(2, features=2), Quorum(3, examples=1000)))
    assert rails.required_approvals(BlastRadius(1, features, examples)) == approvers


def test_what_is_not_known_of_the_blast_radius_reaches_any_limit() -> None:
    rails = GuardRails(quorums=(Quorum(2, models=5),))
    assert rails.required_approvals(BlastRadius(4, 1, 10)) == 1
    assert rails.required_approvals(BlastRadius(None, 1, 10)) == 2


def test_the_blast_radius_of_a_rollback_is_the_whole_model() -> None:
    kill, rollback = plan("a", "b"), Plan("INC-1", MODEL, MitigationKind.CHECKPOINT_ROLLBACK, ())
    assert blast_radius(kill, comparison(1), Downstream(0)) == BlastRadius(1, 2, 2000)
    assert blast_radius(rollback, comparison(1), Downstream(4)) == BlastRadius(5, 150, 2000)
    assert blast_radius(kill, None, NOT_ASKED) == BlastRadius(None, 2, 0)
