"""The attribution service as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1.attribution_service_pb2_grpc import AttributionServiceStub
from tests.checkpoints import small_checkpoint
from tests.unit.services.attribution.serving import EXAMPLES, batch, options

REPOSITORY = Path(__file__).parents[2]
PREFIX = "AFTERSHOCK_ATTRIBUTION_"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("checkpoints") / "sum", "sum")


@contextmanager
def process(**settings: str) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFTERSHOCK_")}
    environment |= {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
    environment |= {f"{PREFIX}EXIT_WITH_PARENT": str(os.getpid()), f"{PREFIX}THREADS": "1"}
    started = subprocess.Popen(
        [sys.executable, "-m", "services.attribution"],
        cwd=REPOSITORY,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


def address_in(file: Path, started: subprocess.Popen[str]) -> str:
    while not file.exists():
        assert started.poll() is None, "the service ended"
        time.sleep(0.05)
    return file.read_text()


def test_it_serves_what_it_is_told_to_load_and_stops_when_asked(
    folder: Path, tmp_path: Path
) -> None:
    roots, load = json.dumps([str(folder.parent)]), json.dumps([str(folder)])
    file = tmp_path / "address"
    with process(checkpoint_roots=roots, load=load, address_file=str(file)) as started:
        with grpc.insecure_channel(address_in(file, started)) as channel:
            stub = AttributionServiceStub(channel)
            requests = iter([options(), batch("a"), batch("b")])
            responses = list(stub.ComputeLfi(requests, timeout=30))
            assert [r.block.example_count for r in responses] == [EXAMPLES.count] * 2
            listed = stub.ListCheckpoints(pb.ListCheckpointsRequest(), timeout=5)
            assert [c.name for c in listed.checkpoints] == ["models/ads_ctr/checkpoints/1"]
            name = pb.ExplainCheckpointRequest(name="models/ads_ctr")
            explained = stub.ExplainCheckpoint(name, timeout=5)
            assert explained.routes
            assert not any(route.fallbacks for route in explained.routes)
            assert not explained.distrust_reason
            health = health_pb2.HealthCheckRequest(service="aftershock.v1.AttributionService")
            check = HealthStub(channel).Check  # type: ignore[attr-defined]
            assert check(health, timeout=5).status == health_pb2.HealthCheckResponse.SERVING
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=30) == 0


def test_it_starts_before_the_aggregator_does(folder: Path, tmp_path: Path) -> None:
    roots, load = json.dumps([str(folder.parent)]), json.dumps([str(folder)])
    file = tmp_path / "address"
    with (
        process(
            checkpoint_roots=roots,
            load=load,
            address_file=str(file),
            aggregator_address="127.0.0.1:9",
            delivery_patience_seconds="0.5",
        ) as started,
        grpc.insecure_channel(address_in(file, started)) as channel,
    ):
        requests = iter([options(pb.DELIVERY_BOTH), batch("a")])
        (response,) = AttributionServiceStub(channel).ComputeLfi(requests, timeout=30)
        assert response.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
        assert started.poll() is None


def test_a_checkpoint_that_is_refused_at_start_ends_it(folder: Path) -> None:
    with process(load=json.dumps([str(folder)])) as started:
        _, errors = started.communicate(timeout=60)
        assert started.returncode != 0
    assert "allowed roots" in errors
    assert "Traceback" not in errors


def test_a_device_that_is_not_there_ends_it() -> None:
    with process(device="cuda:999") as started:
        _, errors = started.communicate(timeout=60)
        assert started.returncode != 0
    assert "device is 'cuda:999'" in errors
    assert "set device to auto or cpu" in errors
    assert "Traceback" not in errors


def test_a_device_of_no_known_kind_is_a_wrong_setting() -> None:
    with process(device="tpu") as started:
        _, errors = started.communicate(timeout=60)
        assert started.returncode != 0
    assert "device" in errors
