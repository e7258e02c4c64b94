"""Conditions in CEL: checked before an incident, evaluated in one."""

import pytest

from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.domain.errors import ConditionFailed, InvalidPolicy
from services.runbook.domain.facts import Facts, Fields

FIELDS: Fields = {
    "model": frozenset(),
    "shift": frozenset({"z", "rank", "feature"}),
    "features": frozenset(),
}
FACTS: Facts = {
    "model": "ads_ctr",
    "shift": {"z": -8.0, "rank": 3, "feature": "user.z"},
    "features": ("a", "b"),
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("shift.rank <= 3", True),
        ("shift.rank < 2.5", False),
        ("shift.z < -5", True),
        ('model == "ads_ctr" && shift.feature.startsWith("user.")', True),
        ("size(features) == 2", True),
        ('features.exists(f, f == "a")', True),
        ('model == "shift.nothing"', False),
        ("model in ['feed', \"ads_ctr\"]", True),
    ],
)
def test_answers(expression: str, expected: bool) -> None:
    assert CelConditions().compile(expression, FIELDS).holds(FACTS) is expected


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("shift.z >", "is no CEL expression"),
        ("", "is no CEL expression"),
        ("preview.available", "uses preview, which is no variable here; there are features, model"),
        ("shift.zz > 1", "uses zz, which is no field of shift here; there are feature, rank, z"),
        ("true || shift.zz > 1", "uses zz"),
        ("features.exists(f, g == f)", "uses g"),
    ],
)
def test_mistakes_are_found_before_an_incident(expression: str, complaint: str) -> None:
    with pytest.raises(InvalidPolicy, match=complaint):
        CelConditions().compile(expression, FIELDS)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("shift.z", "neither true nor false"),
        ('shift.z > "a"', "has no answer"),
        ("shift.rank / 0 > 1", "has no answer"),
    ],
)
def test_what_has_no_answer_says_so(expression: str, complaint: str) -> None:
    with pytest.raises(ConditionFailed, match=complaint):
        CelConditions().compile(expression, FIELDS).holds(FACTS)
