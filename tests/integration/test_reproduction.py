"""The paper's side claims are measured through the real services, and the document says no more."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from clients.drill.reproduce import CLAIMS, DOCUMENT, NUMBERS, render

_ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_every_claim_on_a_small_world(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "clients.drill.reproduce", "all", "--quick", "--write", str(tmp_path)),
        ],
        cwd=_ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert list(numbers) == list(CLAIMS)
    assert json.loads((tmp_path / NUMBERS).read_text()) == numbers
    document = (tmp_path / DOCUMENT).read_text()
    assert document == render(numbers)
    for line in document.splitlines():
        if line.startswith("!["):
            figure = tmp_path / line.rpartition("(")[2].removesuffix(")")
            assert figure.read_bytes().startswith(b"\x89PNG")
    ads = {name: found["ads"] for name, found in numbers.items()}
    plain, normalised = ads["figure-2"].values()
    assert abs(normalised["prediction_change"]) < abs(plain["prediction_change"]) / 2
    assert plain["features"][0]["rank"] == 1
    errors = ads["sample-size"]["median_error"]
    assert all(later < earlier for earlier, later in pairwise(errors))
    unimportant = ads["unimportant"]
    assert unimportant["below"]["mean"] < unimportant["above"]["mean"]
    rarer = ads["figure-1"]["rarer"]
    assert rarer[0]["more_skewed"] == ads["figure-1"]["more_skewed"]
    assert rarer[0]["smaller"] == ads["figure-1"]["smaller"]
    assert rarer[-1]["more_skewed"] > ads["figure-1"]["features"] / 2
    worst = ads["cascade"]["faults"][0]
    assert abs(worst["last"] - 1) < abs(worst["first"] - 1)
    assert (worst["mended_first"] - 1) * (worst["first"] - 1) < 0
    assert ads["cascade"]["displayed_otherwise"] > 0.02
    assert ads["cascade"]["concept_drift"] > 0.01


def test_the_document_is_what_the_numbers_say() -> None:
    docs = _ROOT / "docs"
    numbers = json.loads((docs / NUMBERS).read_text())
    assert list(numbers) == list(CLAIMS)
    document = (docs / DOCUMENT).read_text()
    assert document == render(numbers)
    for line in document.splitlines():
        if line.startswith("!["):
            assert (docs / line.rpartition("(")[2].removesuffix(")")).exists(), line


def test_claims_can_be_asked_for_one_by_one() -> None:
    nonsense = subprocess.run(
        [sys.executable, "-m", "clients.drill.reproduce", "figure-9"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert nonsense.returncode == 2
    assert all(name in nonsense.stderr for name in CLAIMS)
