"""The demo's incident, approved in chat by a bot that is its own process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slack.blocks import faults_of_message

_ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_an_incident_is_approved_in_slack(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chat.demo", "--chat", "slack", "--out", str(tmp_path)]
    done = subprocess.run(
        command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["surface"], summary["approved_by"]) == ("slack", "ada")
    assert summary["state"] == "EFFECTIVE"
    assert summary["updates"] >= 2
    proposed = json.loads((tmp_path / "slack-proposed.json").read_text())
    assert faults_of_message(proposed["blocks"]) == []
    assert proposed["blocks"][-1]["type"] == "actions"
    plots = {path.stem.rpartition("_")[2] for path in tmp_path.glob("*.png")}
    assert plots == {"gfi", "calibration", "lfi", "calibration-after"}
    assert (tmp_path / "slack-proposed.svg").read_text().startswith("<svg")
