"""What docs/reference/audit.md shows, on the platform as `make up` starts it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest
from google.protobuf.json_format import Parse

from aftershock.v1.audit_pb2 import AuditParameters
from aftershock.v1.lineage_service_pb2 import ListEventsRequest
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub
from deploy.local import Platform
from services.audit.adapters.parquet_snapshots import ParquetSnapshots
from services.audit.domain.parameters import LabelRowsFile
from services.chassis.tokens import Role
from tests.checkpoints import arrow_table, random_examples, small_checkpoint
from tests.snapshots import write_clicks

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "reference" / "audit.md").read_text()
_NODE = "dataset:ads:clicks"
_PLANTED = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of snapshots."""
    folder = tmp_path_factory.mktemp("snapshots")
    write_clicks(folder / "past.parquet", 6000, seed=1)
    write_clicks(folder / "labels.parquet", 6000, seed=2, planted=_PLANTED - 1)
    pq.write_table(arrow_table(random_examples(count=200)), folder / "examples.parquet")
    return folder


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Platform]:
    checkpoint = small_checkpoint(tmp_path_factory.mktemp("checkpoints") / "ads_ctr")
    data = tmp_path_factory.mktemp("platform")
    with Platform(data, checkpoints=[checkpoint], snapshots=folder) as running:
        yield running


def _run(platform: Platform, cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "aftershock.cli", *arguments],
        cwd=cwd,
        env=platform.environment(platform.token("ann", Role.ADMIN)) | {"PYTHONPATH": _pythonpath()},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def _pythonpath() -> str:
    return f"{_ROOT}:{_ROOT / 'clients' / 'python'}"


def test_the_shown_command_runs(platform: Platform, folder: Path, tmp_path: Path) -> None:
    (command,) = re.findall(r"^aftershock (.*)$", _PAGE, flags=re.MULTILINE)
    given = command.replace("path/to/snapshots", str(folder)).split()
    assert "The report is report/report.md." in _run(platform, tmp_path, *given)
    assert (tmp_path / "report" / "neighbourhood.png").exists()
    assert "# Audit" in (tmp_path / "report" / "report.md").read_text()


def test_the_shown_snapshot_is_one(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", _PAGE, flags=re.DOTALL)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    read = ParquetSnapshots([tmp_path]).rows(LabelRowsFile(str(tmp_path / "labels.parquet")))
    assert (read.rows.names, read.rows.row_count) == (("car", "tree", "wheel"), 3)


def test_the_shown_make_target_takes_the_shown_option() -> None:
    (option,) = re.findall(r'make up ARGS="(--\S+) ', _PAGE)
    command = [sys.executable, "-m", "deploy.local", "--help"]
    told = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True).stdout
    assert option in told


def test_the_shown_parameters_are_parameters() -> None:
    blocks = re.findall(r"```json\n(.*?)```", _PAGE, flags=re.DOTALL)
    spans = re.findall(r"`(\{.*?\})`", _PAGE, flags=re.DOTALL)
    assert blocks
    assert spans
    for block in blocks:
        Parse(block, AuditParameters())
    for inline in spans:
        content = json.loads(inline)
        Parse(
            json.dumps({"measures": [content]} if "kind" in content else content), AuditParameters()
        )


def test_a_planted_id_reaches_the_timeline(platform: Platform, folder: Path) -> None:
    outcome = ("--outcome-column", "clicked", "--json")
    test = ("--checkpoint", "ads_ctr", "--feature", "watched", "--examples", "examples.parquet")
    past = _run(platform, folder, "audit", "run", "--labels", "past.parquet", *outcome)
    told = _run(
        platform,
        folder,
        *("audit", "run", "--labels", "labels.parquet", "--past", "past.parquet", *outcome),
        *("--lineage-node", _NODE, *test),
    )
    found = json.loads(told)
    first = found["report"]["findings"][0]
    assert first["label"] == str(_PLANTED)
    assert int(first["insertion"]["example_count"]) > 0
    names = [json.loads(past)["audit"]["name"], found["audit"]["name"]]
    diff = json.loads(_run(platform, folder, "audit", "diff", *names, "--json"))["diff"]
    assert diff["changes"][0]["label"] == str(_PLANTED)
    assert (names[1], str(_PLANTED)) in {(e["audit"], e.get("label")) for e in _events(platform)}


def _events(platform: Platform) -> list[Any]:
    """Return the details of what happened to the snapshot's node."""
    token = platform.token("ann", Role.ADMIN)
    with grpc.insecure_channel(platform.addresses.aggregator) as channel:
        answer = LineageServiceStub(channel).ListEvents(
            ListEventsRequest(nodes=[_NODE]),
            timeout=10,
            metadata=(("authorization", f"Bearer {token}"),),
        )
    return [json.loads(listed.event.details_json) for listed in answer.events]
