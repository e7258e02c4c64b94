"""Learned policies in files: read back as written, refused when changed or foreign."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.learned_entry import entry_of
from services.runbook.adapters.yaml_policies import YamlPolicies, YamlRuleReader
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.domain.learned import Learned, LearnedModel
from services.runbook.domain.policy import Mode
from tests.unit.services.runbook.domain.test_learned import BY_Z, MODELS

READER = YamlRuleReader(CelConditions())


def written(model: LearnedModel = BY_Z, **changes: Any) -> dict[str, Any]:
    policy = {
        "name": "learned",
        "mode": "suggest",
        "action": "kill_switch",
        "when": "true",
        "learned": entry_of(model, {"drill runs": 3}).model_dump(),
    }
    return {"policies": [policy | changes]}


@given(MODELS)
def test_a_model_is_read_as_it_was_written(model: LearnedModel) -> None:
    (policy,) = READER.read("learned.json", json.dumps(written(model), indent=2)).policies
    assert policy.features == Learned(model)


def test_a_folder_takes_json_beside_yaml(tmp_path: Path) -> None:
    (tmp_path / "learned.json").write_text(json.dumps(written()))
    (tmp_path / "rails.yaml").write_text("guard_rails: {never_kill: [bid]}")
    rules = YamlPolicies(tmp_path, CelConditions()).current()
    assert [(policy.name, policy.mode) for policy in rules.policies] == [("learned", Mode.SUGGEST)]


def learned(**changes: Any) -> dict[str, Any]:
    return written(learned=entry_of(BY_Z, {}).model_dump() | changes)


WEIGHT = {"input": "abs_z", "coefficient": 3.0, "mean": 2.0, "scale": 1.0}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (written(mode="apply"), "a learned policy may observe or suggest, but never apply"),
        (written(features="true"), "give one of them"),
        (written(action="rollback"), "no other action takes it"),
        (learned(intercept=-2.0), "it was changed or cut; train it anew"),
        (learned(at_least=0.1), "it was changed or cut"),
        (learned(format=2), r"learned.format: Input should be 1"),
        (learned(weights=[]), r"learned.weights: .*at least 1"),
        (learned(weights=[WEIGHT, WEIGHT]), "an input has two weights"),
        (learned(weights=[WEIGHT | {"input": "moon"}]), "no input 'moon': there are evidence"),
        (learned(weights=[WEIGHT | {"scale": 0.0}]), r"weights\[0\].scale"),
        (learned(intercept=float("nan")), r"learned.intercept"),
        (learned(calibration={"slope": float("inf"), "offset": 0.0}), "calibration.slope"),
        (learned(digest="abc"), "learned.digest"),
        (learned(code="import os"), "learned.code: Extra inputs"),
        (written(learned={"booster": {}}), "learned.format: Field required"),
        (written(learned="learned.json"), "learned: Input should be"),
    ],
)
def test_what_is_foreign_or_changed_is_refused(content: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidPolicy, match=complaint) as refusal:
        READER.read("learned.json", json.dumps(content))
    assert str(refusal.value).startswith("learned.json:1: policies[0]")
