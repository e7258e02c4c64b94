"""Channels to the services: credentials, retries by service config, message limits."""

import ipaddress
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio

from aftershock._environment import Endpoints, Environment, Service
from aftershock._errors import ConfigurationError

Channel = TypeVar("Channel", grpc.Channel, grpc.aio.Channel)

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
# These streams reconnect by themselves, with the state that a blind retry lacks.
_OWN_RETRY = [
    {"service": "aftershock.v1.AttributionService", "method": "ComputeLfi"},
    {"service": "aftershock.v1.RunbookService", "method": "WatchIncidents"},
    {"service": "flagd.sync.v1.FlagSyncService", "method": "SyncFlags"},
]
_RETRY_UNAVAILABLE = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_SERVICE_CONFIG = {
    "methodConfig": [{"name": [{}], "retryPolicy": _RETRY_UNAVAILABLE}, {"name": _OWN_RETRY}]
}
_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class Channels(Generic[Channel]):
    """One channel an address, opened at the first call that needs it."""

    def __init__(
        self, endpoints: Endpoints, open_channel: Callable[[str, Environment], Channel]
    ) -> None:
        self._endpoints = endpoints
        self._open: Callable[[str, Environment], Channel] = open_channel
        self._channels: dict[str, Channel] = {}
        self.closed = Event()
        """Set once they were drained."""

    def to(self, service: Service) -> Channel:
        """Return the channel to a service.

        Raises:
            ConfigurationError: its address or a TLS file is missing, or the client is closed.
        """
        if self.closed.is_set():
            raise ConfigurationError("the client is closed: make another one")
        address = self._endpoints.of(service)
        if address not in self._channels:
            self._channels[address] = self._open(address, self._endpoints.environment)
        return self._channels[address]

    def describe(self, service: Service) -> str:
        """Return the service and its address, for people."""
        return f"{service} service at {self._endpoints.of(service)}"

    def drain(self) -> list[Channel]:
        """Open no more channels, and return those that are open, for closing."""
        self.closed.set()
        channels = list(self._channels.values())
        self._channels = {}
        return channels


def open_channel(address: str, environment: Environment) -> grpc.Channel:
    """Open a blocking channel."""
    if is_plaintext(address, environment):
        return grpc.insecure_channel(address, options=_OPTIONS)
    return grpc.secure_channel(address, _credentials(environment), options=_OPTIONS)


def open_aio_channel(address: str, environment: Environment) -> grpc.aio.Channel:
    """Open a channel on the running event loop."""
    if is_plaintext(address, environment):
        return grpc.aio.insecure_channel(address, options=_OPTIONS)
    return grpc.aio.secure_channel(address, _credentials(environment), options=_OPTIONS)


def call_metadata(environment: Environment) -> tuple[tuple[str, str], ...]:
    """Return the metadata that says who is calling."""
    if environment.token is None:
        return ()
    return (("authorization", f"Bearer {environment.token}"),)


def on_behalf_of(identity: str) -> tuple[str, str]:
    """Return the metadata that says whom a delegate speaks for."""
    return ("aftershock-on-behalf-of", identity)


def is_plaintext(address: str, environment: Environment) -> bool:
    """Whether to talk without TLS: on this machine, when no TLS file is named."""
    return not environment.has_tls and _is_loopback(address)


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials(environment: Environment) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=_pem("AFTERSHOCK_TLS_CA", environment.tls_ca),
        private_key=_pem("AFTERSHOCK_TLS_KEY", environment.tls_key),
        certificate_chain=_pem("AFTERSHOCK_TLS_CERTIFICATE", environment.tls_certificate),
    )


def _pem(variable: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{variable} names a file that cannot be read: {error}") from error
