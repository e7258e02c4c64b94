"""A shift spreads through two tiers of models: its root, victims and warnings are told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]


def _demo(fault: str) -> tuple[str, dict[str, Any]]:
    command = [sys.executable, "-m", "clients.drill.tiers.demo", "--fault", fault]
    done = subprocess.run(
        command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(600)
def test_a_pipeline_that_broke_is_the_cause_of_all_that_shifted() -> None:
    output, summary = _demo("pipeline")
    assert summary == {
        "root": "job:airflow:profile_features",
        "root_rank": 1,
        "victims_found": 4,
        "victims_true": 4,
        "warned_before_calibration": 3,
    }
    group = output.partition("aftershock lineage group")[2].partition("aftershock timeline")[0]
    assert all(name in group for name in ("all together", "days_active", "times the noise"))
    first_told = output.partition("aftershock timeline")[2].splitlines()[4]
    assert "job:airflow:profile_features" in first_told
    assert "deploy" in first_told


@pytest.mark.timeout(600)
def test_an_encoder_that_broke_is_found_behind_the_models_that_it_feeds() -> None:
    output, summary = _demo("model")
    assert summary["root"] == "job:airflow:encode_users"
    assert summary["root_rank"] <= 2
    assert (summary["victims_found"], summary["victims_true"]) == (3, 3)
    assert "search_ctr" not in output.partition("Propagation")[2]
