"""Commands that decide, and ask before they do."""

import pytest

from aftershock.v1.incident_pb2 import MitigationKind, MitigationState
from tests.unit.clients.aftershock.cli.running import run, run_json
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import (
    PLAN,
    incident,
    mitigation,
)


def test_approve_shows_the_plan_and_asks(platform: Platform) -> None:
    result = run("approve", "INC-1", "--reason", "it convinces", answer="y\n")
    assert "switch off user_embedding[v3]" in result.stderr
    assert "calibration with it: 1.03 (0.99 to 1.07)" in result.stderr
    assert "models downstream: 3" in result.stderr
    request = platform.runbook.requests[-1]
    assert (request.name, request.plan_hash, request.reason) == (
        "incidents/INC-1/mitigations/M-1",
        PLAN,
        "it convinces",
    )


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_no_means_no(platform: Platform, answer: str) -> None:
    run("approve", "INC-1", answer=answer, code=1)
    assert [type(r).__name__ for r in platform.runbook.requests] == ["GetIncidentRequest"]


def test_yes_does_not_ask(platform: Platform) -> None:
    assert run_json("approve", "INC-1", "--yes")["mitigation"]["plan_hash"] == PLAN
    assert run_json("reject", "INC-1", "--yes", "--reason", "no")["mitigation"]["plan_hash"]
    platform.runbook.incidents = [
        incident(mitigation(1, MitigationState.MITIGATION_STATE_VERIFYING))
    ]
    assert run_json("revert", "INC-1", "-y", "-r", "no")["mitigation"]["name"].endswith("M-1")
    assert [r.reason for r in platform.runbook.requests if hasattr(r, "reason")] == ["", "no", "no"]


def test_a_reason_is_asked_for(platform: Platform) -> None:
    run("reject", "incidents/INC-1/mitigations/M-1", answer="y\nnot convinced\n")
    assert platform.runbook.requests[-1].reason == "not convinced"


def test_nothing_to_approve_says_what_there_is(platform: Platform) -> None:
    platform.runbook.incidents = [incident(mitigation(1, MitigationState.MITIGATION_STATE_EXPIRED))]
    assert "M-1 is EXPIRED" in run("approve", "INC-1", code=3).stderr


def test_the_alternatives_stand_beside_the_question(platform: Platform) -> None:
    plan = mitigation()
    plan.preview.alternatives.add(calibration=1.31, lower=1.2, upper=1.4)
    plan.preview.alternatives.add(features=["a", "b"], calibration=1.02, lower=0.9, upper=1.1)
    platform.runbook.incidents = [incident(plan)]
    shown = run("approve", "INC-1", "--yes").stderr
    assert "calibration with nothing off instead: 1.31 (1.20 to 1.40)" in shown
    assert "calibration with a, b off instead: 1.02 (0.90 to 1.10)" in shown


def test_a_lease_is_renewed_and_released(platform: Platform) -> None:
    effective = mitigation(1, MitigationState.MITIGATION_STATE_EFFECTIVE)
    platform.runbook.incidents = [incident(effective)]
    assert run_json("renew", "INC-1", "-y", "-r", "still broken")["mitigation"]["name"]
    assert run_json("release", "INC-1", "-y", "-r", "mended")["mitigation"]["name"]
    said = [r.reason for r in platform.runbook.requests if hasattr(r, "reason")]
    assert said == ["still broken", "mended"]
    assert "no single mitigation" in run("approve", "INC-1", code=3).stderr


def test_how_far_a_mitigation_has_come_is_shown(platform: Platform) -> None:
    releasing = mitigation(1, MitigationState.MITIGATION_STATE_RELEASING)
    releasing.served_percent = 10
    waiting = mitigation(2, MitigationState.MITIGATION_STATE_PROPOSED)
    waiting.required_approvals = 2
    waiting.approvers.append("ada")
    platform.runbook.incidents = [incident(releasing, waiting)]
    shown = run("why", "INC-1").stdout
    assert "releasing, served to 10 %" in shown
    assert "proposed, 1 of 2 approvals" in shown


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (MitigationKind.MITIGATION_KIND_ID_MASK, "serve user_ids without ids 4711, 12"),
        (
            MitigationKind.MITIGATION_KIND_ROW_QUARANTINE,
            "leave out of training: rows of dataset:ads:clicks with label '4711' and outcome '1'; ",
        ),
        (
            MitigationKind.MITIGATION_KIND_ROW_REBALANCE,
            "label '4711', so that 12 % of them have outcome '1' instead of 95 %",
        ),
    ],
)
def test_what_is_done_about_findings_is_said_in_words(
    platform: Platform, kind: MitigationKind.ValueType, says: str
) -> None:
    proposed = mitigation(1, MitigationState.MITIGATION_STATE_PROPOSED)
    proposed.ClearField("features")
    proposed.kind = kind
    for label in ("4711", "12"):
        proposed.labels.add(
            label=label,
            feature="user_ids",
            node="dataset:ads:clicks",
            outcome="1",
            share=0.95,
            target_share=0.12,
        )
    platform.runbook.incidents = [incident(proposed)]
    assert says in run("approve", "INC-1", "-y").stderr


def test_everybody_is_paused_and_resumed(platform: Platform) -> None:
    assert "paused" not in run("status").stdout
    assert "are paused since - UTC by ada: the sale" in run("pause", "-r", "the sale").stdout
    assert "by ada: the sale" in run("status").stdout
    assert run_json("status")["pause"]["paused"] is True
    assert run_json("resume", "--reason", "over")["pause"] == {
        "paused": False,
        "actor": "ada",
        "reason": "over",
    }
    assert platform.runbook.requests[-1].reason == "over"


def test_a_pause_asks_for_its_reason(platform: Platform) -> None:
    run("pause", answer="the sale\n")
    assert platform.runbook.pause.reason == "the sale"


def test_an_incident_is_snoozed(platform: Platform) -> None:
    said = run("snooze", "INC-42", "--minutes", "10", "-r", "on my way").stdout
    assert said == "Nobody is called about incidents/INC-42 before 2026-11-22 03:12 UTC.\n"
    request = platform.runbook.requests[-1]
    assert (request.duration.seconds, request.reason) == (600, "on my way")
    assert run_json("snooze", "INC-42")["incident"]["name"] == "incidents/INC-42"
