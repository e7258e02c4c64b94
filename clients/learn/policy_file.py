"""Policies in files: the learned one that is written, the other that it is compared with."""

import json
from pathlib import Path

from clients.learn.trial import CannotLearn
from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.learned_entry import entry_of
from services.runbook.adapters.yaml_policies import YamlPolicies
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.domain.learned import LearnedModel
from services.runbook.domain.policy import Chooser

DEFAULT_OTHER = Path(__file__).parents[2] / "deploy" / "policies" / "threshold.yaml"


def write_policy(
    file: Path, model: LearnedModel, *, name: str, mode: str, trained_on: dict[str, int]
) -> None:
    """Write a policy file that the runbook can follow as it is."""
    policy = {
        "name": name,
        "mode": mode,
        "action": "kill_switch",
        "when": 'calibration.anomalous && verdict == "FEATURE_CORRUPTION"',
        "learned": entry_of(model, trained_on).model_dump(),
        "propose_if": "!preview.available || preview.recovery >= 0.2",
    }
    file.write_text(json.dumps({"version": 1, "policies": [policy]}, indent=2) + "\n")


def chooser_in(file: Path) -> Chooser:
    """Return what chooses features in a policy file's first kill-switch. Raises CannotLearn."""
    try:
        rules = YamlPolicies(file, CelConditions()).current()
    except InvalidPolicy as error:
        raise CannotLearn(str(error)) from error
    choosers = (policy.features for policy in rules.policies if policy.features)
    chooser = next(choosers, None)
    if chooser is None:
        raise CannotLearn(f"{file}: no policy in it switches features off")
    return chooser
