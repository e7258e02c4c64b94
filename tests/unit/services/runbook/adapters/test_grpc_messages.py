"""The contract's messages and the domain's nouns say the same."""

from dataclasses import replace

import pytest

from aftershock.v1 import incident_pb2, shift_pb2, window_pb2
from services.runbook.adapters.grpc_evidence_messages import (
    comparison_from,
    comparison_message,
    event_from,
)
from services.runbook.adapters.grpc_messages import incident_message
from services.runbook.domain.evidence import Verdict
from services.runbook.domain.incident import opened, opened_on
from services.runbook.domain.mitigation import MitigationState, propose
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.suspect import SuspectLabel
from tests.unit.clients.aftershock.incidents import comparison
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    MODEL,
    NODE,
    WALL_TIME,
    event,
    finding,
)
from tests.unit.services.runbook.stand_ins import event_message


def test_there_and_back() -> None:
    seen = event(1, BROKEN)
    assert event_from(event_message(seen)) == seen


def test_nothing_that_the_aggregator_says_of_a_feature_is_lost() -> None:
    said = comparison()
    told = {field.name for field, _ in said.shifts[0].ListFields()}
    assert told == set(shift_pb2.FeatureShift.DESCRIPTOR.fields_by_name)
    kept = comparison_message(comparison_from(said))
    assert list(kept.shifts) == list(said.shifts)
    assert kept.rank_by == said.rank_by != shift_pb2.RANK_BY_UNSPECIFIED


def test_a_healthy_window_has_no_comparison() -> None:
    seen = event(1, HEALTHY)
    assert seen.comparison is None
    assert event_from(event_message(seen)) == seen


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_the_contracts(verdict: Verdict) -> None:
    seen = event(1, BROKEN, verdict=verdict)
    assert event_from(event_message(seen)) == seen


def test_an_event_that_breaks_the_contract_is_refused() -> None:
    with pytest.raises(ValueError, match="calibration"):
        event_from(shift_pb2.ShiftEvent(model=MODEL, window=window_pb2.Window(name="w")))
    unknown = event_message(event(1, BROKEN))
    unknown.comparison.verdict = shift_pb2.VERDICT_UNSPECIFIED
    with pytest.raises(ValueError, match="UNSPECIFIED"):
        event_from(unknown)


def test_an_incident_without_a_comparison() -> None:
    bare = opened("INC-1", replace(event(1, HEALTHY), comparison=None), WALL_TIME)
    message = incident_message(bare)
    assert not message.HasField("comparison")
    assert not message.HasField("close_time")
    assert message.state == incident_pb2.INCIDENT_STATE_OPEN


def test_an_incident_on_what_an_audit_found() -> None:
    label = SuspectLabel("4711", "genres", NODE, "1", 0.95, 0.12)
    plan = Plan("INC-1", MODEL, MitigationKind.ROW_REBALANCE, labels=(label,))
    mitigation = propose(
        mitigation_id="1",
        plan=plan,
        preview=MissingPreview("nobody can tell"),
        proposer="policy:rebalance",
        time=WALL_TIME,
        expire_time=WALL_TIME,
        reason="",
    )
    plain = replace(finding("12"), lean=None, flips=None, model_count=None, severity=0.1)
    incident = opened_on("INC-1", MODEL, [plain, finding()], WALL_TIME).with_proposal(mitigation)
    message = incident_message(incident)
    assert message.verdict == incident_pb2.INCIDENT_VERDICT_NATURAL_TRIGGER
    worst, other = message.findings
    assert (worst.label, worst.feature, worst.node, worst.model_count) == (
        "4711",
        "genres",
        NODE,
        1,
    )
    assert (worst.lean.outcome, worst.lean.expected_share, worst.flips.flipped_up) == (
        "1",
        0.12,
        480,
    )
    assert {field.name for field, _ in other.ListFields()}.isdisjoint(
        {"lean", "flips", "model_count"}
    )
    (proposed,) = message.mitigations
    assert proposed.kind == incident_pb2.MITIGATION_KIND_ROW_REBALANCE
    (told,) = proposed.labels
    assert (told.label, told.outcome, told.share, told.target_share) == ("4711", "1", 0.95, 0.12)


def test_a_mitigation_tells_its_story() -> None:
    mitigation = propose(
        mitigation_id="1",
        plan=Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("user_embedding",)),
        preview=Preview(1.03, 0.99, 1.07, 2000),
        proposer="policy:threshold",
        time=WALL_TIME,
        expire_time=WALL_TIME,
        reason="policy threshold",
    )
    incident = opened("INC-1", event(1, BROKEN), WALL_TIME).with_proposal(mitigation)
    (proposed,) = incident_message(incident).mitigations
    assert proposed.name == "incidents/INC-1/mitigations/1"
    assert proposed.state == incident_pb2.MITIGATION_STATE_PROPOSED
    assert proposed.kind == incident_pb2.MITIGATION_KIND_KILL_SWITCH
    assert proposed.preview.calibration == 1.03
    assert proposed.plan_hash == mitigation.plan_hash
    assert (proposed.proposer, proposed.approver) == ("policy:threshold", "")
    assert not proposed.HasField("apply_time")
    for state in (MitigationState.APPROVED, MitigationState.APPLYING, MitigationState.APPLIED):
        incident = incident.moved("1", state, actor="ada", time=WALL_TIME, reason="because")
    (applied,) = incident_message(incident).mitigations
    assert applied.approver == "ada"
    assert applied.apply_time.ToDatetime(tzinfo=WALL_TIME.tzinfo) == WALL_TIME
    assert applied.etag != proposed.etag
    assert applied.reason == "because"


def test_a_missing_preview_says_why() -> None:
    mitigation = propose(
        mitigation_id="1",
        plan=Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("user_embedding",)),
        preview=MissingPreview("the sample has expired"),
        proposer="policy:threshold",
        time=WALL_TIME,
        expire_time=WALL_TIME,
        reason="",
    )
    incident = opened("INC-1", event(1, BROKEN), WALL_TIME).with_proposal(mitigation)
    preview = incident_message(incident).mitigations[0].preview
    assert preview == incident_pb2.Preview(missing_reason="the sample has expired")
