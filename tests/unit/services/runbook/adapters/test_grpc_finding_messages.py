"""What audits tell the timeline, as the runbook reads it: whatever was told, it stays readable."""

import json
import math
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given
from hypothesis import strategies as st

from aftershock.v1.lineage_pb2 import EventKind, TimelineEvent
from services.runbook.adapters.grpc_finding_messages import end_of, finding_message, finding_of
from services.runbook.domain.finding import AuditFinding
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.suspect import SuspectLabel
from tests.unit.services.runbook.builders import MODEL, NODE, WALL_TIME, finding

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["audit", "label", "severity", "lean", "flips", "model_count", "node"])


def an_event(details: str, kind: str = "AUDIT_FINDING") -> TimelineEvent:
    event = TimelineEvent(
        event_id="audits/A-1/4711",
        node=NODE,
        kind=EventKind.Value(f"EVENT_KIND_{kind}"),
        details_json=details,
    )
    event.time.FromDatetime(WALL_TIME.astimezone(UTC))
    return event


@given(st.dictionaries(NAMES, JSON))
def test_any_details_are_read_as_something(details: dict[str, Any]) -> None:
    event = an_event(json.dumps(details))
    found, end = finding_of(event), end_of(event)
    assert (found.id, found.node, found.time) == (event.event_id, NODE, WALL_TIME)
    assert end.node == NODE
    for number in (found.severity, found.exposure, found.evidence):
        assert 0 <= number < math.inf


@pytest.mark.parametrize("share", ["NaN", "Infinity", -1, 7])
def test_numbers_that_are_none_plan_nothing_odd(share: object) -> None:
    lean = {"outcome": "1", "share": share, "expected_share": share, "z": "NaN"}
    found = finding_of(an_event(json.dumps({"label": "1", "severity": share, "lean": lean})))
    assert found.lean is not None
    label = SuspectLabel("1", node=NODE, target_share=found.lean.expected_share)
    plan = Plan("INC-1", MODEL, MitigationKind.ROW_REBALANCE, labels=(label,))
    assert plan == Plan("INC-1", MODEL, MitigationKind.ROW_REBALANCE, labels=(label,))
    assert set(plan.target.values()) <= {"weighed to 0", "weighed to 1"}


@pytest.mark.parametrize("known", [finding(), replace(finding(), lean=None, flips=None)])
def test_there_and_back(known: AuditFinding) -> None:
    event = an_event(MessageToJson(finding_message(known), preserving_proto_field_name=True))
    assert finding_of(event) == replace(known, id=event.event_id, time=WALL_TIME)


@pytest.mark.parametrize(
    ("checkpoint", "model"),
    [
        ("models/ads_ctr", "models/ads_ctr"),
        ("models/ads_ctr/checkpoints/v:1", "models/ads_ctr"),
        ("", ""),
        ("ads_ctr", ""),
        ("models/../x", ""),
        ("models/a b", ""),
    ],
)
def test_a_model_that_was_tested_has_a_models_name(checkpoint: str, model: str) -> None:
    found = finding_of(an_event(json.dumps({"flips": {"checkpoint": checkpoint}})))
    assert found.flips is not None
    assert found.flips.model == model
