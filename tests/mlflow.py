"""A real MLflow server for tests, in an environment of its own that is made once a machine."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.environments import environment_of

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "mlflow_requirements.txt"
_SCRIPT = _HERE / "mlflow_server.py"
_API = "/api/2.0/mlflow"


def digest_of(time: str) -> str:
    """Return the digest that a version trained until then has in these tests."""
    return hashlib.sha256(time.encode()).hexdigest()


@dataclass(frozen=True)
class MlflowServer:
    """A running server, and what tests do to it behind the runbook's back."""

    url: str

    def register(self, model: str, *trained_until: str) -> None:
        """Make a model with one version for each time; the alias `champion` names the newest."""
        self._post("/registered-models/create", name=model)
        for time in trained_until:
            tags = {"trained_until": time, "checkpoint_digest": digest_of(time)} if time else {}
            told = [{"key": key, "value": value} for key, value in tags.items()]
            self._post("/model-versions/create", name=model, source="s3://models/x", tags=told)
        self.move(model, str(len(trained_until)))

    def move(self, model: str, version: str) -> None:
        """Let the alias name another version."""
        self._post("/registered-models/alias", name=model, alias="champion", version=version)

    def champion(self, model: str) -> str:
        """Return the version that the alias names."""
        asked = {"name": model, "alias": "champion"}
        answer = httpx.get(f"{self.url}{_API}/registered-models/alias", params=asked, timeout=30)
        return str(answer.raise_for_status().json()["model_version"]["version"])

    def _post(self, path: str, **content: object) -> None:
        httpx.post(f"{self.url}{_API}{path}", json=content, timeout=30).raise_for_status()


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[MlflowServer]:
    """Serve from an empty registry until the session ends."""
    python = environment_of(_REQUIREMENTS) / "bin" / "python"
    folder = Path(tempfile.mkdtemp(prefix="mlflow-"))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "MLFLOW_DISABLE_TELEMETRY": "1"}
    with subprocess.Popen(
        # -P: this folder has a module of MLflow's name.
        [python, "-P", _SCRIPT, folder / "registry.sqlite"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().decode().strip()
        assert port, "the MLflow server ended at start"
        yield MlflowServer(f"http://127.0.0.1:{port}")
        process.communicate()
    shutil.rmtree(folder)
