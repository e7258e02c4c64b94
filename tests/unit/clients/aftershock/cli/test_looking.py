"""Commands that show: status, windows, shifts, why and more."""

from datetime import timedelta

from google.protobuf.json_format import ParseDict

from aftershock.v1.aggregator_service_pb2 import ChooseSampleSizeResponse
from aftershock.v1.attribution_service_pb2 import ExplainCheckpointResponse
from aftershock.v1.importance_pb2 import FeatureProfile
from aftershock.v1.incident_pb2 import Incident, IncidentVerdict, MitigationState
from aftershock.v1.lineage_pb2 import FindingFlips, FindingLean
from aftershock.v1.shift_pb2 import Comparison, ControlSelection, RankBy
from tests.unit.clients.aftershock.cli.running import cells, run, run_json
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


def test_why_ends_with_the_commands_that_decide(platform: Platform) -> None:
    decide = "decide: aftershock approve INC-1, or aftershock reject INC-1\n"
    assert run("why", "INC-1").stdout.endswith(decide)
    platform.runbook.incidents = [incident(mitigation(1), mitigation(2))]
    shown = run("why", "INC-1").stdout
    assert "aftershock approve incidents/INC-1/mitigations/M-2," in shown
    effective = mitigation(1, MitigationState.MITIGATION_STATE_EFFECTIVE)
    platform.runbook.incidents = [incident(effective)]
    assert "decide:" not in run("why", "INC-1").stdout


def test_no_incident_is_said_of_the_model_that_was_asked_about(platform: Platform) -> None:
    platform.runbook.incidents = []
    assert run("incidents", "--model", "ads_crt").stdout == "No incident of ads_crt.\n"


def test_the_verdict_is_shown(platform: Platform) -> None:
    found = incident()
    found.verdict = IncidentVerdict.INCIDENT_VERDICT_LABEL_OR_CONCEPT_DRIFT
    found.merged_into = "incidents/INC-9"
    platform.runbook.incidents = [found]
    assert "label or concept drift" in run("incidents").stdout
    shown = run("why", "INC-1").stdout
    assert "verdict label or concept drift; merged into INC-9" in shown


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


def test_an_incident_on_what_an_audit_found(platform: Platform) -> None:
    opened = incident()
    opened.ClearField("comparison")
    opened.ClearField("windows")
    opened.verdict = IncidentVerdict.INCIDENT_VERDICT_NATURAL_TRIGGER
    lean = FindingLean(outcome="1", share=0.95, expected_share=0.12, z=41.0)
    flips = FindingFlips(example_count=1000, flipped_up=480)
    opened.findings.add(label="4711", feature="watched", audit="audits/A-1", lean=lean, flips=flips)
    platform.runbook.incidents = [opened]
    shown = " ".join(run("why", "INC-1").stdout.split())
    assert (
        "could be hijacked: label '4711'; calibration is healthy; verdict natural trigger" in shown
    )
    for told in ("watched", "'1': 12 % -> 95 %, z 41.0", "480 of 1,000", "A-1"):
        assert told in shown
    assert "over-predicts" not in shown
    assert "label '4711'" in run("incidents").stdout
