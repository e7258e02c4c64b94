"""Drills through the real services, a policy learned from them, and the runbook's verdict on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.yaml_policies import YamlPolicies
from services.runbook.domain.learned import Learned

_ROOT = Path(__file__).parents[2]
_PROGRAM = (
    "from importlib.metadata import EntryPoint\n"
    "from aftershock.cli import _app\n"
    "found = [EntryPoint('drill', 'clients.drill.cli:app', _app.PLUGINS),\n"
    "         EntryPoint('policy.train', 'clients.learn.cli:app', _app.PLUGINS)]\n"
    "_app.entry_points = lambda group: found\n"
    "from aftershock.cli.__main__ import main; main()\n"
)
pytestmark = pytest.mark.timeout(300)


def aftershock(*arguments: str, folder: Path) -> str:
    """Run the command line as it is where `make setup` has registered the commands."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{_ROOT}:{_ROOT / 'clients' / 'python'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_from_drills_to_a_policy(tmp_path: Path) -> None:
    less = ["--history", "5", "--windows", "1"]
    for seed in ("1", "3"):
        world = ["--world", "ads", "--small", "--seed", seed, "--records", f"drill-{seed}.jsonl"]
        aftershock("drill", *world, *less, folder=tmp_path)
    drills = ["--drill", "drill-1.jsonl", "--drill", "drill-3.jsonl", "--no-incidents", "--json"]
    report = json.loads(aftershock("policy", "train", "learned.json", *drills, folder=tmp_path))
    assert report["seeds"] == [3]
    assert report["learned"]["broken"] == report["other"]["broken"] > 5
    assert report["brier"] < report["brier_of_share"]
    (policy,) = YamlPolicies(tmp_path / "learned.json", CelConditions()).current().policies
    assert isinstance(policy.features, Learned)
    assert policy.features.model.digest == report["digest"]


def test_help_is_light() -> None:
    program = (
        "import clients.learn.cli, sys; print(*({'sklearn', 'numpy', 'grpc'} & set(sys.modules)))"
    )
    said = subprocess.check_output([sys.executable, "-c", program], cwd=_ROOT, text=True)
    assert said.split() == []
