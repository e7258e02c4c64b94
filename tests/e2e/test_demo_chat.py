"""The demo's incident, approved in chat by a bot that is its own process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.slack.blocks import faults_of_message

_ROOT = Path(__file__).parents[2]


def _played(chat: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.chat.demo", "--chat", chat, "--out", str(folder)]
    done = subprocess.run(
        command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


@pytest.mark.timeout(600)
def test_an_incident_is_approved_in_slack(tmp_path: Path) -> None:
    summary = _played("slack", tmp_path)
    assert (summary["surface"], summary["approved_by"]) == ("slack", "ada")
    assert summary["state"] == "EFFECTIVE"
    assert summary["updates"] >= 2
    proposed = json.loads((tmp_path / "slack-proposed.json").read_text())
    assert faults_of_message(proposed["blocks"]) == []
    assert proposed["blocks"][-1]["type"] == "actions"
    plots = {path.stem.rpartition("_")[2] for path in tmp_path.glob("*.png")}
    assert plots == {"gfi", "calibration", "lfi", "calibration-after"}
    assert (tmp_path / "slack-proposed.svg").read_text().startswith("<svg")


@pytest.mark.timeout(600)
def test_an_incident_is_approved_in_matrix(tmp_path: Path) -> None:
    summary = _played("matrix", tmp_path)
    assert (summary["surface"], summary["server"]) == ("matrix", "Synapse")
    assert (summary["approved_by"], summary["state"]) == ("ada", "EFFECTIVE")
    assert summary["updates"] >= 2
    proposed = json.loads((tmp_path / "matrix-proposed.json").read_text())
    assert "👍 Approve" in proposed["body"]
    plots = {path.stem.rpartition("_")[2] for path in tmp_path.glob("*.png")}
    assert plots == {"gfi", "calibration", "lfi", "calibration-after"}
