"""The command line as a process of its own, as a shell runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.unit.clients.aftershock.incidents import incident
from tests.unit.clients.aftershock.recording import Runbook, Served


@pytest.fixture
def address() -> Iterator[str]:
    runbook = Runbook()
    runbook.incidents = [incident()]
    served = Served(runbook)
    yield served.address
    served.kill()


def run(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFTERSHOCK_")}
    return subprocess.run(
        [sys.executable, "-m", "aftershock.cli", *arguments],
        env=environment | {"AFTERSHOCK_ADDRESS": address, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_table(address: str) -> None:
    result = run(address, "incidents")
    assert result.returncode == 0, result.stderr
    assert "INC-1" in result.stdout
    assert "user_embedding[v3]" in result.stdout
    assert result.stderr == ""


def test_json(address: str) -> None:
    result = run(address, "why", "INC-1", "--json")
    assert json.loads(result.stdout)["incident"]["name"] == "incidents/INC-1"


def test_nobody_to_ask_is_no_approval(address: str) -> None:
    result = run(address, "approve", "INC-1")
    assert result.returncode == 1
    assert "Approve?" in result.stderr


def test_a_service_that_is_not_there() -> None:
    result = run("127.0.0.1:1", "incidents")
    assert result.returncode == 5
    assert result.stdout == ""
    assert result.stderr.startswith("aftershock: the runbook service at 127.0.0.1:1 cannot")
    assert result.stderr.count("\n") == 1


def test_an_unknown_command() -> None:
    assert run("127.0.0.1:1", "explode").returncode == 2
