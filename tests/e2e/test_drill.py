"""The drill on real engagements, as its documentation shows it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_the_drill_on_movielens() -> None:
    few = ["--rows", "1000", "--history", "5", "--windows", "1", "--cases", "1,4,11,misjoined"]
    done = subprocess.run(
        [sys.executable, "-m", "clients.drill", "--world", "movielens", *few, "--json"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["world"], report["runs"]) == ("movielens", 4)
    assert report["features"] > 150
    assert [case["case"] for case in report["cases"]] == ["1", "4", "11", "misjoined"]
    # By chance, 6 of 174 would be found.
    assert report["methods"]["evidence"]["recall"] > 0.5
    found = {case["case"]: case["found_in_top_k"]["evidence"] for case in report["cases"]}
    # Three features without a value stand out of the noise of even five short windows.
    assert found["4"] >= 2
