"""The SDK over TLS on both sides, with the files that the environment names."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from aftershock import Client, Unavailable
from aftershock.v1 import runbook_service_pb2_grpc as rpc
from services.chassis.tls import server_credentials
from tests.unit.clients.aftershock.recording import Runbook

Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def sign(name: str, issuer: Signed | None = None) -> Signed:
    """Return a certificate for `name`, by `issuer` or by itself as an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def write(folder: Path, name: str, signed: Signed) -> tuple[Path, Path]:
    """Write certificate and key as PEM and return where."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(signed[0].public_bytes(Encoding.PEM))
    key.write_bytes(signed[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key


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
