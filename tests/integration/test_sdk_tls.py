"""The SDK over TLS on both sides, with the files that the environment names."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from aftershock import Client, Unavailable
from aftershock.v1 import runbook_service_pb2_grpc as rpc
from services.chassis.tls import server_credentials
from tests.certificates import sign, write
from tests.unit.clients.aftershock.recording import Runbook


def test_both_sides_show_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = sign("authority")
    ca, _ = write(tmp_path, "ca", authority)
    server_pem, server_key = write(tmp_path, "server", sign("server", authority))
    pipeline_pem, pipeline_key = write(tmp_path, "pipeline", sign("pipeline", authority))
    server = grpc.server(ThreadPoolExecutor(4))
    rpc.add_RunbookServiceServicer_to_server(Runbook(), server)
    port = server.add_secure_port("localhost:0", server_credentials(server_pem, server_key, ca))
    server.start()
    monkeypatch.setenv("AFTERSHOCK_TLS_CA", str(ca))
    with Client(f"localhost:{port}", timeout=5.0) as stranger, pytest.raises(Unavailable):
        stranger.incidents()
    monkeypatch.setenv("AFTERSHOCK_TLS_CERTIFICATE", str(pipeline_pem))
    monkeypatch.setenv("AFTERSHOCK_TLS_KEY", str(pipeline_key))
    with Client(f"localhost:{port}", timeout=5.0) as client:
        assert client.incidents() == []
    server.stop(None).wait()
