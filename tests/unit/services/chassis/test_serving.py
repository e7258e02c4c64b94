"""A service as a process: ready, observed, drained."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1 import runbook_service_pb2_grpc as rpc
from services.chassis.settings import ServiceSettings
from tests.containers import first_process
from tests.waiting import until

_REQUEST = pb.GetIncidentRequest(name="incidents/1")
_ROOT = Path(__file__).parents[4]
_PARENT = """
import os, subprocess, sys
tied = {"AFTERSHOCK_EXIT_WITH_PARENT": str(os.getpid())}
subprocess.run(sys.argv[1:], env=os.environ | tied)
"""


@dataclass
class Running:
    process: subprocess.Popen[str]
    metrics: str
    channel: grpc.Channel

    def scrape(self) -> str:
        with urllib.request.urlopen(f"http://{self.metrics}/metrics") as answer:
            return str(answer.read().decode())


def _command(settings: ServiceSettings, breaks: bool) -> list[str]:
    module = "tests.unit.services.chassis.slow_service"
    content = settings.model_dump_json(exclude_unset=True)
    return [sys.executable, "-m", module, content, json.dumps(breaks)]


@contextmanager
def _running(folder: Path) -> Iterator[Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        metrics = f"127.0.0.1:{free.getsockname()[1]}"
    address_file = folder / "address"
    settings = ServiceSettings(address_file=address_file, metrics_listen=metrics)
    command = _command(settings, breaks=False)
    with subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not address_file.exists():
                assert process.poll() is None
                time.sleep(0.02)
            with grpc.insecure_channel(address_file.read_text()) as channel:
                yield Running(process, metrics, channel)
        finally:
            process.kill()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with _running(tmp_path) as process:
        yield process


async def test_it_is_healthy_and_counted(running: Running) -> None:
    health: Any = health_pb2_grpc.HealthStub(running.channel)
    for name in ("", "aftershock.v1.RunbookService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    rpc.RunbookServiceStub(running.channel).GetIncident(_REQUEST, timeout=10)
    with pytest.raises(grpc.RpcError):
        rpc.RunbookServiceStub(running.channel).GetIncident(_REQUEST)
    method = "/aftershock.v1.RunbookService/GetIncident"
    for code in ("OK", "INVALID_ARGUMENT"):
        counted = f'aftershock_rpc_total{{code="{code}",method="{method}"}} 1.0'

        def is_counted(line: str = counted) -> bool:
            return line in running.scrape()

        # A caller has the answer before the call is counted.
        await until(is_counted)


def test_a_call_under_way_is_finished_before_it_stops(running: Running) -> None:
    call = rpc.RunbookServiceStub(running.channel).GetIncident.future(_REQUEST, timeout=10)
    while 'aftershock_rpc_under_way{method="/aftershock.v1.RunbookService' not in running.scrape():
        time.sleep(0.02)
    running.process.send_signal(signal.SIGTERM)
    assert call.result() == pb.GetIncidentResponse()
    assert running.process.wait(timeout=20) == 0
    assert running.process.stderr is not None
    lines = [json.loads(line) for line in running.process.stderr if line.startswith("{")]
    assert "serving" in [line["message"] for line in lines]


def test_a_broken_background_task_stops_the_process(tmp_path: Path) -> None:
    settings = ServiceSettings(address_file=tmp_path / "address")
    done = subprocess.run(
        _command(settings, breaks=True),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "the worker broke" in done.stderr


@pytest.mark.parametrize("setting", ["listen", "metrics_listen"])
def test_a_port_that_is_taken_is_said_in_a_line(tmp_path: Path, setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = ServiceSettings.model_validate(
            {"address_file": tmp_path / "address", setting: address}
        )
        done = subprocess.run(
            _command(settings, breaks=False),
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert f"cannot listen on {address}: something else listens there" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def _started_by(parent: Sequence[str], address_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have a service started by another process that it is to end with; yield that process."""
    settings = ServiceSettings(address_file=address_file)
    command = [*parent, sys.executable, "-c", _PARENT, *_command(settings, breaks=False)]
    with subprocess.Popen(command, cwd=_ROOT) as started:
        try:
            while not address_file.exists():
                assert started.poll() is None, "the service did not start"
                time.sleep(0.02)
            yield started
        finally:
            started.kill()


def _serves(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            health.Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.RpcError:
            return False
    return True


def test_a_service_ends_with_its_parent(tmp_path: Path) -> None:
    with _started_by([], tmp_path / "address") as parent:
        address = (tmp_path / "address").read_text()
        assert _serves(address)
        parent.kill()
        deadline = time.monotonic() + 20
        while _serves(address):
            assert time.monotonic() < deadline, "the service outlived its parent"
            time.sleep(0.02)


def test_a_service_is_started_by_the_first_process_of_a_container(tmp_path: Path) -> None:
    with _started_by(first_process(), tmp_path / "address"):
        assert _serves((tmp_path / "address").read_text())


def test_a_service_does_not_start_where_its_parent_is_gone_already(tmp_path: Path) -> None:
    settings = ServiceSettings(address_file=tmp_path / "address", exit_with_parent=os.getppid())
    done = subprocess.run(
        _command(settings, breaks=False),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"process {os.getppid()}, which exit_with_parent names, is gone" in done.stderr
    assert not (tmp_path / "address").exists()
