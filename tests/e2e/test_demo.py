"""The main job: a broken feature is found, approved, switched off and verified."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]


def _demo(case: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "clients.drill.demo", "--case", case]
    done = subprocess.run(
        command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


@pytest.mark.timeout(600)
def test_a_broken_feature_is_found_and_switched_off() -> None:
    summary = _demo("11")
    assert summary["state"] == "EFFECTIVE"
    assert summary["culprit_rank"] <= 3
    assert set(summary["culprits"]) <= set(summary["top"])
    calibration = summary["calibration"]
    assert abs(calibration["healthy"] - 1) < 0.06
    assert abs(calibration["broken"] - 1) > 0.08
    assert abs(calibration["mitigated"] - 1) < abs(calibration["broken"] - 1) / 2


@pytest.mark.timeout(600)
def test_healthy_data_opens_no_incident() -> None:
    summary = _demo("none")
    assert (summary["state"], summary["culprits"]) == ("NO_INCIDENT", [])
