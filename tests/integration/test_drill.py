"""`aftershock drill` through the real services, on a small generated world and on own examples."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from clients.drill.pipeline_cases import CASES
from clients.learn.drills import read_drills
from tests.checkpoints import arrow_table, random_examples, small_checkpoint

_ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


def drill(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "clients.drill", *arguments],
        cwd=_ROOT,
        env=os.environ | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_generated_world(tmp_path: Path) -> None:
    arguments = ["--world", "ads", "--small", "--history", "6", "--windows", "1"]
    records = tmp_path / "records" / "drill.jsonl"
    records.parent.mkdir()
    figures = tmp_path / "figures"
    done = drill(*arguments, "--json", "--figures", str(figures), "--records", str(records))
    report: dict[str, Any] = json.loads(done.stdout)
    assert (report["world"], report["features"], report["k"]) == ("ads", 24, 3)
    assert [case["case"] for case in report["cases"]] == [*CASES, "stale"]
    assert report["left_out"] == []
    gfi = report["methods"]["GFI shift"]
    # Chance finds 3 of 24.
    assert gfi["recall"] > 0.2
    assert gfi["above_median"] > gfi["below_median"]
    assert report["methods"]["PSI"]["recall"] > 0.2
    assert report["false_flags_per_clean_window"] < 6
    assert max(case["mean_prediction_change"] for case in report["cases"]) > 0.02
    trials = read_drills([records])
    assert len(trials) == report["runs"] + 1
    assert sum(not trial.culprits for trial in trials) == 1
    assert all(len(trial.case.candidates) == report["features"] for trial in trials)
    assert {path.name for path in figures.iterdir()} == {
        "figure-1.png",
        "figure-2.png",
        "recall.png",
        "false_alarms.png",
    }


def test_own_examples(tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path / "checkpoint")
    pq.write_table(arrow_table(random_examples(count=2000)), tmp_path / "mine.parquet")
    arguments = ["--examples", str(tmp_path / "mine.parquet"), "--checkpoint", str(checkpoint)]
    rest = [
        "--rows",
        "250",
        "--history",
        "6",
        "--windows",
        "2",
        "--cases",
        "1,6,frozen",
        "--same-rows",
    ]
    out = drill(*arguments, *rest).stdout
    assert "mine: " in out
    assert "control: same rows" in out
    report = json.loads(drill(*arguments, *rest, "--json").stdout)
    assert report["runs"] == 6
    # The same rows unbroken differ in what broke alone.
    for method in ("GFI shift", "PSI"):
        assert report["methods"][method]["at_least_one"] == 1.0


def test_what_cannot_be_drilled_is_one_line(tmp_path: Path) -> None:
    nonsense = drill("--world", "ads", "--small", "--cases", "earthquake", code=3)
    assert nonsense.stderr.startswith("aftershock: no case earthquake: there are 1, 2,")
    assert nonsense.stderr.count("\n") == 1
    examples = tmp_path / "mine.parquet"
    pq.write_table(arrow_table(random_examples(count=10)), examples)
    alone = drill("--examples", str(examples), code=3)
    assert "--checkpoint" in alone.stderr
    checkpoint = small_checkpoint(tmp_path / "checkpoint")
    few = drill("--examples", str(examples), "--checkpoint", str(checkpoint), code=3)
    assert "fewer --rows" in few.stderr


def test_the_command_is_part_of_the_command_line() -> None:
    program = (
        "from importlib.metadata import EntryPoint\n"
        "from aftershock.cli import _app\n"
        "found = [EntryPoint('drill', 'clients.drill.cli:app', _app.PLUGINS),\n"
        "         EntryPoint('gone', 'nowhere.to_be:found', _app.PLUGINS)]\n"
        "_app.entry_points = lambda group: found\n"
        "from aftershock.cli.__main__ import main; main()\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=_ROOT,
            env=os.environ | {"COLUMNS": "160"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert "Break copies of logged examples" in run("--help").stdout
    assert "--same-rows" in run("drill", "--help").stdout
    gone = run("gone")
    assert gone.returncode == 2
    assert "not installed here (No module named 'nowhere')" in gone.stderr


def test_help_is_light() -> None:
    program = (
        "import clients.drill.cli, sys; print(*({'torch', 'numpy', 'grpc'} & set(sys.modules)))"
    )
    said = subprocess.check_output([sys.executable, "-c", program], cwd=_ROOT, text=True)
    assert said.split() == []
