"""What a policy sees, selects and accepts."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from services.runbook.domain.case import Case
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.facts import (
    FEATURES_FIELDS,
    FINDINGS_FIELDS,
    PROPOSE_IF_FIELDS,
    WHEN_FIELDS,
    Fields,
    case_facts,
    finding_facts,
    preview_facts,
    shift_facts,
)
from services.runbook.domain.preview import MissingPreview, Preview
from tests.unit.services.runbook.builders import (
    BROKEN,
    MODEL,
    calibration,
    comparison,
    finding,
    policy,
    shift,
    window,
)

CORRUPTION = IncidentVerdict.FEATURE_CORRUPTION
CASE = Case(MODEL, CORRUPTION, comparison(1), window(1, BROKEN), 2, frozenset())
REFERENCE = Path(__file__).parents[5] / "docs" / "reference" / "policies.md"


def names(facts: Mapping[str, object]) -> Fields:
    return {
        name: frozenset(fact) if isinstance(fact, Mapping) else frozenset()
        for name, fact in facts.items()
    }


def test_the_facts_are_those_that_conditions_may_use() -> None:
    facts = case_facts(CASE)
    missing = preview_facts(MissingPreview("off"), CASE.calibration)
    known = preview_facts(Preview(1.0, 0.9, 1.1, 10), CASE.calibration)
    assert names(facts) == WHEN_FIELDS
    assert names({**facts, "shift": shift_facts(shift("a", 1, 1.0), 1.0)}) == FEATURES_FIELDS
    for found in (finding(), replace(finding(), lean=None, flips=None)):
        assert names({**facts, "finding": finding_facts(found)}) == FINDINGS_FIELDS
    for preview in (missing, known):
        assert names({**facts, "features": ("a",), "preview": preview}) == PROPOSE_IF_FIELDS


def test_every_field_is_documented() -> None:
    text = REFERENCE.read_text()
    for variable, fields in {**FEATURES_FIELDS, **FINDINGS_FIELDS, **PROPOSE_IF_FIELDS}.items():
        for name in fields or {""}:
            assert f"`{variable}.{name}`".replace(".`", "`") in text


def test_derived_facts() -> None:
    facts = shift_facts(replace(shift("a", 3, -0.5), z=-8.0), 2.0)
    assert facts["abs_shift"] == 0.5
    assert facts["abs_z"] == 8.0
    assert facts["share_of_top"] == 0.25
    assert facts["rank_change"] == 209
    assert facts["coverage_change"] == pytest.approx(-0.01)


def test_what_is_not_known_is_zero() -> None:
    facts = shift_facts(replace(shift("a", 1, 0.0), z=math.nan), 0.0)
    assert facts["z"] == facts["abs_z"] == facts["share_of_top"] == 0.0


def test_one_broken_feature_is_selected_alone() -> None:
    assert policy().select(CASE).features == ("user_embedding",)


def test_features_that_are_off_already_are_not_candidates() -> None:
    second = Case(
        MODEL, CORRUPTION, comparison(1), window(1, BROKEN), 1, frozenset({"user_embedding"})
    )
    assert policy().select(second).features == ("genres",)


def test_a_policy_without_a_say_selects_nothing() -> None:
    assert policy(when='model == "feed"').select(CASE).features == ()
    assert policy(when="anomalous_windows >= 2").select(CASE).features == ("user_embedding",)


def test_a_preview_that_does_not_recover_is_not_accepted() -> None:
    assert policy().accepts(CASE, ("a",), Preview(1.02, 0.98, 1.06, 2000))
    assert not policy().accepts(CASE, ("a",), Preview(1.30, 1.25, 1.35, 2000))
    assert policy().accepts(CASE, ("a",), MissingPreview("the sample has expired"))


def test_calibration_is_that_of_the_compared_window() -> None:
    assert CASE.calibration == calibration(1.31)
