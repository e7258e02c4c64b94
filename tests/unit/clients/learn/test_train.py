"""`aftershock policy train`: from recorded decisions and drills to a policy that is followed."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from aftershock.cli import _app
from aftershock.cli.__main__ import app
from clients.learn.comparing import contest
from clients.learn.drills import read_drills
from clients.learn.policy_file import DEFAULT_OTHER, chooser_in
from clients.learn.training import train
from clients.learn.trial import Trial, samples_of
from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.yaml_policies import YamlPolicies
from services.runbook.domain.learned import Learned
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.policy import Choice, Mode
from tests.unit.clients.aftershock.conftest import Platform, platform  # noqa: F401 - a fixture
from tests.unit.clients.learn.records import FEATURES, drill, incident, mitigation
from tests.unit.services.runbook.builders import BROKEN, Runbook, event, shift


@pytest.fixture
def drills(tmp_path: Path) -> list[Path]:
    return [drill(tmp_path / f"{seed}.jsonl", seed) for seed in (1, 2, 3)]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [EntryPoint("policy.train", "clients.learn.cli:app", _app.PLUGINS)]
    monkeypatch.setattr(_app, "entry_points", lambda group: found)


def command(*arguments: str | Path, code: int = 0) -> Result:
    words = ["policy", "train", *map(str, arguments)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def given(files: list[Path]) -> list[str]:
    return [word for file in files for word in ("--drill", str(file))]


def test_it_learns_from_drills_alone_before_the_first_incident(
    tmp_path: Path, drills: list[Path]
) -> None:
    written = tmp_path / "learned.json"
    done = command(written, *given(drills), "--no-incidents")
    assert "threshold.yaml" in done.stdout
    assert "seeds 3 that training had not seen" in done.stdout
    (policy,) = YamlPolicies(written, CelConditions()).current().policies
    assert (policy.name, policy.mode) == ("learned", Mode.OBSERVE)
    assert isinstance(policy.features, Learned)
    for trial in read_drills(drills):
        assert set(policy.features.choose(trial.case).features) == trial.culprits


async def test_what_it_writes_proposes_in_a_runbook(tmp_path: Path, drills: list[Path]) -> None:
    written = tmp_path / "learned.json"
    command(written, *given(drills), "--no-incidents", "--mode", "suggest")
    runbook = Runbook()
    runbook.rules.rules = YamlPolicies(written, CelConditions()).current()
    broken = replace(shift("user_embedding", 1, 0.8), score=7.0, shift_rank=1)
    healthy = replace(shift("age", 2, 0.01, z=0.4), score=0.3, shift_rank=2)
    await runbook.see(event(1, BROKEN, shifts=[broken, healthy]))
    (proposed,) = (await runbook.incident()).mitigations
    assert proposed.state is MitigationState.PROPOSED
    assert proposed.plan.features == ("user_embedding",)
    assert proposed.proposer == "policy:learned"
    assert "user_embedding is broken with probability" in proposed.history[0].reason


def test_it_learns_from_what_experts_decided_and_windows_verified(
    tmp_path: Path,
    drills: list[Path],
    platform: Platform,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AFTERSHOCK_ADDRESS", platform.address)
    rejected = mitigation(1, "REJECTED", "f2", reason="a launch moved it")
    platform.runbook.incidents = [incident(rejected, mitigation(2, "EFFECTIVE", "f1"))]

    def trained(*arguments: str) -> dict[str, Any]:
        done = command(tmp_path / "l.json", *given(drills), *arguments, "--json")
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    both = trained("--mode", "suggest")
    assert both["trained_on"] == {"drilled_comparisons": 108, "incidents": 1, "decisions": 2}
    assert both["decisions"][0] == {
        "name": rejected.name,
        "features": ["f2"],
        "outcome": "rejected",
        "reason": "a launch moved it",
    }
    without = trained("--no-incidents")
    assert without["decisions"] == []
    assert without["digest"] != both["digest"]
    less = trained("--leave-out", rejected.name)
    assert [decision["outcome"] for decision in less["decisions"]] == ["effective"]
    shown = command(tmp_path / "l.json", *given(drills)).stdout
    assert f"{rejected.name}: f2 rejected: a launch moved it" in shown
    wrong = command(tmp_path / "l.json", *given(drills), "--leave-out", "INC-9", code=3)
    assert "INC-9: no decision there to leave out" in wrong.stderr


def test_policies_are_compared_on_features_and_seeds_that_training_has_not_seen(
    tmp_path: Path,
) -> None:
    trials = read_drills(drill(tmp_path / f"{seed}.jsonl", seed, count=120) for seed in (1, 2, 3))
    found = contest(trials, chooser_in(DEFAULT_OTHER), 0.5)
    assert found.seeds == (3,)
    assert found.features == len(FEATURES) // 3
    assert (found.trials, found.clean) == (120, 40)
    # The threshold asks for a z of five, which half of the broken features have not.
    assert found.learned.recall == 1.0
    assert found.other.recall is not None
    assert found.other.recall < 0.9
    assert found.brier < found.brier_of_share / 10


class Spy:
    """Chooses nothing, and remembers what it was asked of."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def choose(self, case: object) -> Choice:
        self.asked.append(case)
        return Choice(())


def test_what_is_kept_from_training_does_not_change_the_comparison_of_seen_drills(
    drills: list[Path],
) -> None:
    """Labels of the kept seed only score: turned around, the same features are chosen."""
    trials = read_drills(drills)
    lied = [
        Trial(t.name, t.case, {f: not b for f, b in t.broken.items()} if t.seed == 3 else t.broken,
              t.weights, t.seed)
        for t in trials
    ]  # fmt: skip
    spy = Spy()
    honest, turned = contest(trials, spy, 0.5), contest(lied, spy, 0.5)
    assert turned.learned.chosen == honest.learned.chosen
    assert turned.learned.right == 0
    assert {id(case) for case in spy.asked} <= {id(t.case) for t in trials if t.seed == 3}


def test_training_is_calibrated_and_repeatable(drills: list[Path]) -> None:
    samples = samples_of(read_drills(drills))
    model = train(samples, 0.5)
    assert train(samples, 0.5) == model
    told = np.array([model.probability(sample.inputs) for sample in samples])
    assert told.mean() == pytest.approx(np.mean([s.broken for s in samples]), abs=0.02)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "no record of a drill"),
        ("[]", "no record of a drill"),
        ('{"world": "w", "seed": 1, "culprits": []}', "'comparison'"),
        ('{"world": "w", "seed": 1, "culprits": [], "comparison": {"a": 1}}', '"a"'),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(text)
    refused = command(tmp_path / "l.json", "--drill", file, "--no-incidents", code=3)
    assert f"{file}:1: " in refused.stderr
    assert complaint in refused.stderr
    assert not (tmp_path / "l.json").exists()


def test_too_little_is_refused(tmp_path: Path) -> None:
    one = drill(tmp_path / "1.jsonl", 1)
    refused = command(tmp_path / "l.json", "--drill", one, "--no-incidents", code=3)
    assert "two seeds at least" in refused.stderr
    few = [drill(tmp_path / f"few{seed}.jsonl", seed, count=3) for seed in (1, 2)]
    refused = command(tmp_path / "l.json", *given(few), "--no-incidents", code=3)
    assert "it takes 5" in refused.stderr


def test_a_policy_that_applies_is_not_to_be_had(tmp_path: Path, drills: list[Path]) -> None:
    refused = command(tmp_path / "l.json", *given(drills), "--mode", "apply", code=2)
    assert "'apply' is not one of 'observe', 'suggest'" in refused.stderr
