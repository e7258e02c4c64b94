"""Transport credentials from PEM files."""

from pathlib import Path

import grpc


def server_credentials(certificate: Path, key: Path, ca: Path | None) -> grpc.ServerCredentials:
    """Return the server's credentials; with `ca`, callers must show a certificate it signed."""
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=ca.read_bytes() if ca else None,
        require_client_auth=ca is not None,
    )


def channel_credentials(
    ca: Path | None, certificate: Path | None, key: Path | None
) -> grpc.ChannelCredentials:
    """Return a caller's credentials. Without `ca`, the system's roots decide."""
    return grpc.ssl_channel_credentials(
        root_certificates=ca.read_bytes() if ca else None,
        private_key=key.read_bytes() if key else None,
        certificate_chain=certificate.read_bytes() if certificate else None,
    )
