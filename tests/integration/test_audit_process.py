"""The audit service as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from aftershock.v1 import audit_pb2, audit_service_pb2
from aftershock.v1.audit_service_pb2_grpc import AuditServiceStub
from services.audit.adapters.json_codec import AUDIT
from services.audit.adapters.process_analyst import analysis_command
from services.audit.domain.audit import Audit
from services.audit.domain.parameters import AuditParameters, LabelRowsFile
from tests.audits import request_of
from tests.containers import first_process
from tests.snapshots import write_rows, write_scenes
from tests.unit.services.attribution.serving import reason

REPOSITORY = Path(__file__).parents[2]
PREFIX = "AFTERSHOCK_AUDIT_"


@contextmanager
def process(
    folder: Path, before: Sequence[str] = (), **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve audits of what lies in a folder, and keep them there; yields the address too.

    `before` is what the command is run by; without it, the service ends with this process.
    """
    file = folder / "address"
    file.unlink(missing_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFTERSHOCK_")}
    environment |= {
        f"{PREFIX}ADDRESS_FILE": str(file),
        f"{PREFIX}DATA": str(folder / "audits"),
        f"{PREFIX}SNAPSHOT_ROOTS": json.dumps([str(folder)]),
        **{PREFIX + name: value for name, value in settings.items()},
    }
    if not before:
        environment[f"{PREFIX}EXIT_WITH_PARENT"] = str(os.getpid())
    command = [*before, sys.executable, "-m", "services.audit"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as started:
        try:
            while not file.exists():
                assert started.poll() is None, "the service ended"
                time.sleep(0.05)
            yield started, file.read_text()
        finally:
            started.kill()


def _get(stub: AuditServiceStub, name: str) -> audit_service_pb2.GetAuditResponse:
    return stub.GetAudit(audit_service_pb2.GetAuditRequest(name=name), timeout=10)


def _until(
    stub: AuditServiceStub, name: str, state: audit_pb2.AuditState.ValueType
) -> audit_service_pb2.GetAuditResponse:
    while (found := _get(stub, name)).audit.state != state:
        assert found.audit.state in (
            audit_pb2.AUDIT_STATE_QUEUED,
            audit_pb2.AUDIT_STATE_RUNNING,
        ), found.audit
        time.sleep(0.05)
    return found


def test_it_audits_in_a_process_and_stops_when_asked(tmp_path: Path) -> None:
    write_scenes(tmp_path / "rows.parquet", 1500)
    with process(tmp_path) as (started, address), grpc.insecure_channel(address) as channel:
        stub = AuditServiceStub(channel)
        health = health_pb2.HealthCheckRequest(service="aftershock.v1.AuditService")
        check = HealthStub(channel).Check  # type: ignore[attr-defined]
        assert check(health, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        name = stub.StartAudit(request_of(tmp_path / "rows.parquet"), timeout=10).audit.name
        found = _until(stub, name, audit_pb2.AUDIT_STATE_DONE)
        assert found.report.row_count == 1500
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=30) == 0


def test_it_audits_as_the_first_process_of_a_container(tmp_path: Path) -> None:
    write_scenes(tmp_path / "rows.parquet", 300)
    with (
        process(tmp_path, first_process()) as (_, address),
        grpc.insecure_channel(address) as channel,
    ):
        stub = AuditServiceStub(channel)
        name = stub.StartAudit(request_of(tmp_path / "rows.parquet"), timeout=10).audit.name
        assert _until(stub, name, audit_pb2.AUDIT_STATE_DONE).report.row_count == 300


def test_an_attribution_that_is_away_costs_its_tests_alone(tmp_path: Path) -> None:
    rows, examples = tmp_path / "rows.parquet", tmp_path / "examples.parquet"
    write_rows(rows, [["1", "2"]] * 20)
    write_rows(examples, [["1"]])
    insertion = audit_pb2.InsertionParameters(
        checkpoint="models/m", feature="watched", examples_file=str(examples)
    )
    settings = {"ATTRIBUTION_ADDRESS": "127.0.0.1:1", "ATTRIBUTION_SECONDS": "0.5"}
    with (
        process(tmp_path, **settings) as (_, address),
        grpc.insecure_channel(address) as channel,
    ):
        stub = AuditServiceStub(channel)
        name = stub.StartAudit(request_of(rows, insertion=insertion), timeout=20).audit.name
        found = _until(stub, name, audit_pb2.AUDIT_STATE_DONE)
    (missing,) = found.report.missing_tests
    assert "attribution says UNAVAILABLE" in missing.reason
    assert found.report.row_count == 20


def test_a_snapshot_larger_than_its_memory_fails_its_audit_alone(tmp_path: Path) -> None:
    # Some kilobytes on disk that are twenty million labels in memory.
    count = 10_000_000
    offsets = pa.array(np.arange(0, 2 * count + 1, 2), pa.int32())
    labels = pa.ListArray.from_arrays(offsets, pa.array(np.tile([1, 2], count)))
    rows = pa.table({"row_id": np.arange(count), "labels": labels})
    pq.write_table(rows, tmp_path / "bomb.parquet", compression="zstd")
    write_scenes(tmp_path / "rows.parquet", 300)
    with (
        process(tmp_path, ANALYSIS_MEMORY_BYTES=str(512 << 20)) as (_, address),
        grpc.insecure_channel(address) as channel,
    ):
        stub = AuditServiceStub(channel)
        name = stub.StartAudit(request_of(tmp_path / "bomb.parquet"), timeout=10).audit.name
        failed = _until(stub, name, audit_pb2.AUDIT_STATE_FAILED).audit
        assert reason(failed.error) == "TOO_LARGE_FOR_EXACT"
        assert "the analysis takes more memory than there is" in failed.error.message
        request = request_of(tmp_path / "rows.parquet", "after")
        name = stub.StartAudit(request, timeout=10).audit.name
        _until(stub, name, audit_pb2.AUDIT_STATE_DONE)


def test_two_audits_run_at_once(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.parquet" for name in ("one", "other")]
    for seed, file in enumerate(files):
        write_scenes(file, 20_000, seed)
    with (
        process(tmp_path, AUDITS_AT_ONCE="2") as (_, address),
        grpc.insecure_channel(address) as channel,
    ):
        stub = AuditServiceStub(channel)
        names = [stub.StartAudit(request_of(f, f.stem), timeout=10).audit.name for f in files]
        while {_get(stub, name).audit.state for name in names} != {audit_pb2.AUDIT_STATE_RUNNING}:
            time.sleep(0.02)
        found = [_until(stub, name, audit_pb2.AUDIT_STATE_DONE) for name in names]
    assert found[0].report != found[1].report


def _complaint(data: Path) -> str:
    """Return what a service says that cannot start with a folder for its audits."""
    done = subprocess.run(
        [sys.executable, "-m", "services.audit"],
        cwd=REPOSITORY,
        env=os.environ | {f"{PREFIX}DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1].removeprefix("AFTERSHOCK_AUDIT_DATA: ")


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _complaint(tmp_path / "file" / "audits").startswith("audits cannot be kept there")


def test_two_services_do_not_share_a_folder(tmp_path: Path) -> None:
    with process(tmp_path) as (_, address), grpc.insecure_channel(address) as channel:
        said = _complaint(tmp_path / "audits")
        assert said == f"another process keeps its audits in {tmp_path / 'audits'}"
        AuditServiceStub(channel).ListAudits(audit_service_pb2.ListAuditsRequest(), timeout=10)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_audit_that_ran_when_it_died_is_interrupted(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_scenes(tmp_path / "rows.parquet", 60_000)
    with process(tmp_path) as (started, address), grpc.insecure_channel(address) as channel:
        stub = AuditServiceStub(channel)
        name = stub.StartAudit(request_of(tmp_path / "rows.parquet"), timeout=10).audit.name
        _until(stub, name, audit_pb2.AUDIT_STATE_RUNNING)
        started.send_signal(number)
        started.wait(timeout=30)
    with process(tmp_path) as (_, address), grpc.insecure_channel(address) as channel:
        stub = AuditServiceStub(channel)
        found = _get(stub, name)
        again = stub.StartAudit(request_of(tmp_path / "rows.parquet", "again"), timeout=10)
        _until(stub, again.audit.name, audit_pb2.AUDIT_STATE_DONE)
    assert found.audit.state == audit_pb2.AUDIT_STATE_INTERRUPTED
    assert not found.HasField("report")


def test_an_analysis_ends_with_whoever_asked_for_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    write_scenes(file, 60_000)
    asked = Audit("audits/1", LabelRowsFile(str(file)), AuditParameters(), 0, datetime.now(UTC))
    roots = {f"{PREFIX}SNAPSHOT_ROOTS": json.dumps([str(tmp_path)])}
    with subprocess.Popen(
        analysis_command(),
        cwd=REPOSITORY,
        env=os.environ | roots,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdin.write(AUDIT.dump_json(asked) + b"\n")
        started.stdin.flush()
        assert b"reading the snapshot" in started.stdout.readline()
        started.stdin.close()
        assert started.wait(timeout=30) == 1
        assert b"report" not in started.stdout.read()
