"""Every command in the README runs, and its Python is what a pipeline would write."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.local import Platform
from services.chassis.tokens import Role
from tests.checkpoints import TRAINED_UNTIL, arrow_table, random_examples, small_checkpoint

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "README.md").read_text()
_OF_INCIDENTS = ("shifts", "why", "approve")
_HOUR = TRAINED_UNTIL + timedelta(hours=3)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _README, flags=re.DOTALL)


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"\bmake ([a-z-]+)", _README))
    assert {"demo", "test", "up", "check", "bench"} <= targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=_ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    checkpoint = small_checkpoint(tmp_path_factory.mktemp("checkpoints") / "ads_ctr")
    data = tmp_path_factory.mktemp("platform")
    with Platform(data, checkpoints=[checkpoint]) as running:
        yield running


@pytest.fixture(scope="module")
def played(platform: Platform) -> Iterator[dict[str, Any]]:
    """What the pipeline's Python leaves behind, with the environment that it ran in."""
    batch = arrow_table(random_examples(count=300))
    scope: dict[str, Any] = {
        "source": [(batch, _HOUR + timedelta(minutes=5)), (batch, _HOUR + timedelta(minutes=9))],
        "start": _HOUR,
        "end": _HOUR + timedelta(hours=1),
        "sum_of_predictions": 100.0,
        "clicks": 98,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in platform.environment(platform.token("ann", Role.ADMIN)).items():
            patch.setenv(name, value)
        exec(_blocks("python")[0], scope)
        yield scope
        scope["client"].close()


def test_the_pipelines_python_runs(played: dict[str, Any]) -> None:
    [window] = played["client"].windows()
    assert window.considered_count == 600
    assert window.calibration.ratio == pytest.approx(100 / 98)


def test_the_model_servers_python_runs(played: dict[str, Any]) -> None:
    scope: dict[str, Any] = {"features": {"user_age": np.ones(3)}, "baselines": {}}
    exec(_blocks("python")[1], scope)
    assert scope["features"]["user_age"].tolist() == [1, 1, 1]
    scope["guard"].close()


def test_the_command_line_runs(played: dict[str, Any]) -> None:
    commands = [c.split() for c in re.findall(r"`aftershock ([a-z][^`]*)`", _README)]
    assert {"status", "windows", "shifts", "incidents", "why", "approve"} == {
        c[0] for c in commands
    }
    for command in commands:
        # These need an incident, and the demo's test plays one.
        arguments = [command[0], "--help"] if command[0] in _OF_INCIDENTS else command
        done = subprocess.run(
            [sys.executable, "-m", "aftershock.cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def test_make_up_serves_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.local", "--data", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        lines = [up.stdout.readline() for _ in range(3)]
        assert "ready" in lines[1]
        assert f"source {tmp_path / 'environment'}" in lines[2]
        exported = (tmp_path / "environment").read_text()
        assert "export AFTERSHOCK_TOKEN=" in exported
        up.terminate()
        rest, _ = up.communicate(timeout=60)
    assert rest == "stopped\n"
    assert up.returncode == 0
