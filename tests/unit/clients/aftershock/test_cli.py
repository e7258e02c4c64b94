"""The command line: tables for people, the contract's JSON for programs, one line for errors."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from typer.testing import CliRunner, Result

from aftershock.cli.__main__ import app
from aftershock.v1.aggregator_service_pb2 import ChooseSampleSizeResponse
from aftershock.v1.attribution_service_pb2 import ExplainCheckpointResponse
from aftershock.v1.error_reason_pb2 import ErrorReason
from aftershock.v1.importance_pb2 import FeatureProfile
from aftershock.v1.incident_pb2 import Incident, IncidentVerdict, MitigationState
from aftershock.v1.runbook_service_pb2 import (
    CheckPolicyResponse,
    PolicySummary,
    ReplayedIncident,
)
from aftershock.v1.shift_pb2 import Comparison, ControlSelection, RankBy
from services.chassis.errors import ErrorStatus, Forbidden, Overloaded
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import (
    PLAN,
    checkpoint,
    comparison,
    explanation,
    incident,
    mitigation,
    profile,
    sample_size,
    summary,
    window,
)
from tests.unit.clients.aftershock.recording import refusal

MODEL_WINDOWS = [window(3), window(2, 1.31, anomalous=True), window(1, 0.99)]


class StalePlan(Exception):
    field = "plan_hash"


@pytest.fixture(autouse=True)
def _populated(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.aggregator.models = [summary()]
    platform.aggregator.windows = MODEL_WINDOWS
    platform.aggregator.comparison = comparison()
    platform.attribution.checkpoints = [checkpoint()]
    platform.runbook.incidents = [incident()]
    monkeypatch.setenv("AFTERSHOCK_ADDRESS", platform.address)


def run(*arguments: str, answer: str | None = None, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments, input=answer, env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def run_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def cells(output: str, row: str) -> list[str]:
    """Return the cells of the first table row that contains `row`."""
    line = next(line for line in output.splitlines() if row in line)
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_status_shows_models_and_open_incidents() -> None:
    output = run("status").stdout
    assert cells(output, "2026-11-19")[:4] == [
        "ads_ctr",
        "2026-11-19",
        "20261120T020000Z",
        "closed",
    ]
    assert "1.31 (1.21 to 1.41) !" in output
    assert cells(output, "INC-1")[:3] == ["INC-1", "ads_ctr", "open"]


def test_status_of_nothing_says_what_to_do(platform: Platform) -> None:
    platform.aggregator.models, platform.runbook.incidents = [], []
    output = run("status").stdout
    assert "aftershock doctor" in output
    assert "No open incident." in output


def test_rules(platform: Platform) -> None:
    model = summary()
    model.rules.retention.FromTimedelta(timedelta(days=20))
    platform.aggregator.models = [model]
    shown = run("rules", "ads_ctr").stdout
    assert "allowed lateness: the aggregator's setting" in shown
    assert "retention: 20 days" in shown
    changed = run_json("rules", "ads_ctr", "--allowed-lateness", "90")["rules"]
    assert changed == {"allowed_lateness": "90s", "retention": "1728000s"}
    reset = run_json("rules", "ads_ctr", "--default", "--retention-days", "9")["rules"]
    assert reset == {"retention": "777600s"}
    run("rules", "other", code=3)


def test_windows() -> None:
    output = run("windows", "ads_ctr").stdout
    assert cells(output, "20261120T020000Z") == [
        "20261120T020000Z",
        "2026-11-20 02:00",
        "closed",
        "2,000",
        "500",
        "1.31 (1.21 to 1.41) !",
        "1,310.0",
        "1,000",
        "abababababab",
    ]
    assert "no outcomes" in output
    assert len(run_json("windows", "ads_ctr", "--limit", "2")["windows"]) == 2


def test_shifts_of_a_window(platform: Platform) -> None:
    output = run(
        *("shifts", "ads_ctr/20261120T020000Z", "--control", "previous-hour", "--top", "3"),
        *("--rank-by", "value-distance"),
    ).stdout
    assert cells(output, "user_embedding") == [
        "1",
        "user_embedding[v3]",
        "encoded embedding",
        "1.17",
        "1.1 to 1.2",
        "0.008 -> 1.18",
        "97 % -> 93 %",
        "212 -> 1",
        "41.0",
        "12.5",
        "values 45.0, LFIs 12.0",
        "yes",
    ]
    assert "1 of 214 features shifted beyond their noise" in output
    assert "note: no window at the same hour of the previous day" in output
    (request,) = platform.aggregator.requests
    assert request.anomaly == window(2).name
    assert request.control_selection == ControlSelection.CONTROL_SELECTION_PREVIOUS_HOUR
    assert request.top_k == 3
    assert request.rank_by == RankBy.RANK_BY_VALUE_DISTANCE


def test_what_to_rank_by_must_be_known(platform: Platform) -> None:
    refused = run("shifts", "ads_ctr/20261120T020000Z", "--rank-by", "size", code=2).stderr
    assert "mfc-shift" in refused
    assert not platform.aggregator.requests


def test_shifts_of_a_model_take_its_latest_anomalous_window(platform: Platform) -> None:
    run("shifts", "ads_ctr", "--rank-by", "gfi-shift")
    assert platform.aggregator.requests[-1].anomaly == window(2).name
    assert platform.aggregator.requests[-1].rank_by == RankBy.RANK_BY_GFI_SHIFT
    platform.aggregator.windows = [window(1, 0.99)]
    assert "aftershock windows ads_ctr" in run("shifts", "ads_ctr", code=3).stderr


def test_incidents_and_why() -> None:
    assert cells(run("incidents").stdout, "INC-1") == [
        "INC-1",
        "ads_ctr",
        "open",
        "2026-11-20 03:00",
        "1.31 (1.21 to 1.41) !",
        "-",
        "user_embedding[v3]",
        "proposed",
    ]
    output = run("why", "INC-1").stdout
    for evidence in (
        "ads_ctr over-predicts: calibration 1.31, expected 1,310.0, observed 1,000",
        "anomaly models/ads_ctr/windows/20261120T020000Z",
        "control models/ads_ctr/windows/20261120T010000Z",
        "checkpoint abababababab",
        "0.008 -> 1.18",
        "values 45.0, LFIs 12.0",
        "switch off user_embedding[v3]",
        "1.03 (0.99 to 1.07)",
        "opened",
        "next: approve or reject",
    ):
        assert evidence in output


def test_checkpoints_and_load(platform: Platform) -> None:
    assert "models/ads_ctr/checkpoints/2026-11-19" in run("checkpoints").stdout
    assert "2026-11-19 00:00" in run("load", "/checkpoints/a").stdout
    assert platform.attribution.requests[-1].folder == "/checkpoints/a"
    platform.attribution.checkpoints = []
    assert "aftershock load" in run("checkpoints").stdout


def test_how_a_checkpoint_is_ablated(platform: Platform) -> None:
    platform.attribution.explanation = explanation()
    output = run("checkpoint", "explain", "ads_ctr").stdout
    assert platform.attribution.requests[-1].name == "models/ads_ctr"
    assert "1,000 features, 450 steps" in output
    assert "scoring one takes 9.95 M operations" in output
    assert cells(output, "addmm_2") == ["995", "linear map (addmm_2)", "4", "0", "270 k"]
    assert "dependencies unknown after: sort_1" in output
    assert "no rule" in output
    assert cells(output, "50 %") == ["50 %", "100 M", "9.95 G", "99.5x"]
    answer = run_json("checkpoint", "explain", checkpoint().name)["explanation"]
    assert ParseDict(answer, ExplainCheckpointResponse()) == explanation()


def test_how_many_examples_are_needed(platform: Platform) -> None:
    platform.aggregator.sample_size = sample_size()
    arguments = ("sample-size", "ads_ctr/20261120T020000Z", "--tolerance", "0.01")
    output = run(*arguments).stdout
    request = platform.aggregator.requests[-1]
    assert (request.window, request.tolerance) == (window(2).name, 0.01)
    assert "9,800 examples keep every standard error under 0.01" in output
    assert "kept of it" in output
    assert cells(output, "user_embedding") == ["user_embedding[v3]", "9,800", "1.18", "0.0198"]
    answer = run_json(*arguments)["sample_size"]
    assert ParseDict(answer, ChooseSampleSizeResponse()) == sample_size()


def test_what_a_features_values_looked_like(platform: Platform) -> None:
    platform.aggregator.profile = profile()
    output = run("profile", "ads_ctr/20261120T020000Z", "genres").stdout
    request = platform.aggregator.requests[-1]
    assert (request.window, request.feature) == (window(2).name, "genres")
    assert "10,000 examples, 12.5% of them at the baseline" in output
    assert cells(output, "length") == ["length", "1", "1", "2", "3", "4", "6", "9", "0.31"]
    assert cells(output, "7  ") == ["7", "25.00%"]
    answer = run_json("profile", "ads_ctr/20261120T020000Z", "genres")["profile"]
    assert ParseDict(answer, FeatureProfile()) == profile().profile


def test_values_that_nobody_told_of_are_said_to_be_unknown(platform: Platform) -> None:
    platform.aggregator.profile.profile.feature = "genres"
    assert "not known" in run("profile", "ads_ctr/20261120T020000Z", "genres").stdout


def test_json_is_the_contracts(platform: Platform) -> None:
    assert ParseDict(run_json("why", "INC-1")["incident"], Incident()) == incident()
    assert ParseDict(run_json("shifts", "ads_ctr")["comparison"], Comparison()) == comparison()
    status = run_json("status")
    assert set(status) == {"models", "incidents", "pause"}
    # Fields are there even when they are zero, under the contract's names.
    assert status["models"][0]["refused_block_count"] == "0"
    assert run_json("incidents")["incidents"][0]["mitigations"][0]["plan_hash"] == PLAN
    assert run_json("checkpoints")["checkpoints"][0]["name"] == checkpoint().name
    assert run_json("load", "/checkpoints/a")["checkpoint"]["digest"] == checkpoint().digest


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


def test_an_incident_is_snoozed(platform: Platform) -> None:
    said = run("snooze", "INC-42", "--minutes", "10", "-r", "on my way").stdout
    assert said == "Nobody is called about incidents/INC-42 before 2026-11-22 03:12 UTC.\n"
    request = platform.runbook.requests[-1]
    assert (request.duration.seconds, request.reason) == (600, "on my way")
    assert run_json("snooze", "INC-42")["incident"]["name"] == "incidents/INC-42"


def test_a_pause_asks_for_its_reason(platform: Platform) -> None:
    run("pause", answer="the sale\n")
    assert platform.runbook.pause.reason == "the sale"


def test_the_verdict_is_shown(platform: Platform) -> None:
    found = incident()
    found.verdict = IncidentVerdict.INCIDENT_VERDICT_LABEL_OR_CONCEPT_DRIFT
    found.merged_into = "incidents/INC-9"
    platform.runbook.incidents = [found]
    assert "label or concept drift" in run("incidents").stdout
    shown = run("why", "INC-1").stdout
    assert "verdict label or concept drift; merged into INC-9" in shown


def test_a_reason_is_asked_for(platform: Platform) -> None:
    run("reject", "incidents/INC-1/mitigations/M-1", answer="y\nnot convinced\n")
    assert platform.runbook.requests[-1].reason == "not convinced"


def test_nothing_to_approve_says_what_there_is(platform: Platform) -> None:
    platform.runbook.incidents = [incident(mitigation(1, MitigationState.MITIGATION_STATE_EXPIRED))]
    assert "M-1 is EXPIRED" in run("approve", "INC-1", code=3).stderr


def test_errors_are_one_line_and_an_exit_code(platform: Platform) -> None:
    stale = ErrorStatus(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STALE_PLAN)
    for error, code, line in [
        (
            StalePlan("the plan changed: look again"),
            3,
            "aftershock: the plan changed: look again (in plan_hash) [STALE_PLAN]\n",
        ),
        (
            Forbidden("reader may not call it: it takes the role approver"),
            4,
            "aftershock: reader may not call it: it takes the role approver [FORBIDDEN]\n",
        ),
        (
            Overloaded("as much work as it takes on", retry_after=60.0),
            5,
            "aftershock: as much work as it takes on [OVERLOADED]; try again in 60 s\n",
        ),
        (
            ZeroDivisionError("secret"),
            6,
            "aftershock: internal error; the server's log has the details [INTERNAL]\n",
        ),
    ]:
        platform.runbook.errors = [refusal(error, {StalePlan: stale})]
        assert run("incidents", code=code).stderr == line
    assert run("incidents", "--json", code=0).stderr == ""


def test_usage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    run("windows", code=2)
    run("explode", code=2)
    monkeypatch.delenv("AFTERSHOCK_ADDRESS")
    assert "AFTERSHOCK_RUNBOOK_ADDRESS" in run("incidents", code=2).stderr


def test_addresses_as_options(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFTERSHOCK_ADDRESS")
    run("--address", platform.address, "incidents")
    run("--runbook", platform.address, "--aggregator", platform.address, "status")
    assert "127.0.0.1:1" in run("--address", "127.0.0.1:1", "incidents", code=5).stderr


def test_the_doctor_finds_a_working_platform(platform: Platform) -> None:
    output = run("doctor").stdout
    assert "models/ads_ctr" not in output
    for finding in (
        f"answers at {platform.address} (plaintext)",
        "ads_ctr/checkpoints/2026-11-19 loaded",
        "12 batches stored, 0 refused; latest event 2026-11-20 02:59 UTC",
        "20261120T030000Z (closed): 2,000 considered, 500 displayed",
        "20261120T030000Z is closed without outcomes",
    ):
        assert finding in output
    report = run_json("doctor", "--model", "ads_ctr")
    assert report["healthy"]
    assert {check["health"] for check in report["checks"]} == {"ok", "warning"}


def test_the_doctor_says_what_is_broken(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.aggregator.models, platform.aggregator.windows = [], []
    output = run("doctor", code=1).stdout
    assert "no examples arrived" in output
    assert "Client(model='ads_ctr').examples()" in output
    platform.attribution.checkpoints = []
    assert "aftershock load" in run("doctor", code=1).stdout
    monkeypatch.setenv("AFTERSHOCK_DISABLED", "1")
    assert "AFTERSHOCK_DISABLED is set" in run("doctor", code=1).stdout


def test_the_doctor_outlives_services_that_do_not(platform: Platform) -> None:
    report = run_json("--runbook", "127.0.0.1:1", "doctor", code=1)
    assert not report["healthy"]
    health = {check["subject"]: check["health"] for check in report["checks"]}
    assert health["runbook"] == "broken"
    assert health["aggregator"] == health["attribution"] == "ok"
    assert run_json("--address", "127.0.0.1:1", "--timeout", "0.5", "doctor", code=1)


def test_the_doctor_points_at_half_of_the_weight(platform: Platform) -> None:
    lopsided = window(2, 1.0)
    lopsided.displayed_count = 0
    platform.aggregator.windows = [lopsided]
    model = summary()
    model.refused_block_count = 3
    platform.aggregator.models = [model]
    output = run("doctor").stdout
    assert "send both" in output
    assert "3 refused" in output


def test_an_audit_that_is_intact() -> None:
    assert "is as it was written: 8 records" in run("audit", "verify").stdout
    assert run_json("audit", "verify")["audit"]["intact"] is True


def test_an_audit_that_was_tampered_with(platform: Platform) -> None:
    platform.runbook.audit.intact = False
    platform.runbook.audit.breaks.append("record 3 (incidents/INC-1) was changed")
    output = run("audit", "verify", code=1).stdout
    assert "was tampered with" in output
    assert "record 3 (incidents/INC-1) was changed" in output
    assert run_json("audit", "verify", code=1)["audit"]["breaks"]


@pytest.fixture
def policy_file(tmp_path: Path) -> str:
    file = tmp_path / "policy.yaml"
    file.write_text("policies: []")
    return str(file)


def test_a_policy_that_can_be_followed(platform: Platform, policy_file: str) -> None:
    strict = PolicySummary(name="strict", version=2, mode="suggest", action="rollback")
    platform.runbook.check = CheckPolicyResponse(policies=[strict])
    assert "strict" in run("policy", "check", policy_file).stdout
    assert run_json("policy", "check", policy_file)["check"]["policies"][0]["version"] == 2
    assert platform.runbook.policies == ["policies: []"] * 2


def test_a_policy_with_mistakes(platform: Platform, policy_file: str) -> None:
    platform.runbook.check = CheckPolicyResponse(problems=["policy.yaml:3: policies[0].when: no"])
    assert "policy.yaml:3" in run("policy", "check", policy_file, code=1).stdout
    assert run_json("policy", "check", policy_file, code=1)["check"]["problems"]
    run("policy", "check", "/nowhere.yaml", code=2)


def test_what_a_policy_would_have_done(platform: Platform, policy_file: str) -> None:
    acted = ReplayedIncident(
        incident="incidents/INC-1",
        would_act=True,
        policy="strict",
        would="propose: switch off user_embedding",
        mitigations=[mitigation()],
    )
    quiet = ReplayedIncident(incident="incidents/INC-2", would="No policy acts on it.")
    platform.runbook.replayed = [acted, quiet]
    output = run("policy", "replay", policy_file).stdout
    assert "propose: switch off user_embedding" in output
    assert "It would have acted on 1 of 2 incidents." in output
    shown = run_json("policy", "replay", policy_file, "--limit", "1")["incidents"]
    assert [each["incident"] for each in shown] == ["incidents/INC-1"]


def test_the_alternatives_stand_beside_the_question(platform: Platform) -> None:
    plan = mitigation()
    plan.preview.alternatives.add(calibration=1.31, lower=1.2, upper=1.4)
    plan.preview.alternatives.add(features=["a", "b"], calibration=1.02, lower=0.9, upper=1.1)
    platform.runbook.incidents = [incident(plan)]
    shown = run("approve", "INC-1", "--yes").stderr
    assert "calibration with nothing off instead: 1.31 (1.20 to 1.40)" in shown
    assert "calibration with a, b off instead: 1.02 (0.90 to 1.10)" in shown
