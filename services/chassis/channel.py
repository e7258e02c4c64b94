"""Channels from one service to another."""

import json
from collections.abc import Sequence
from typing import Any

import grpc

from services.chassis.settings import ServiceSettings
from services.chassis.tls import channel_credentials

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

_RETRY_UNAVAILABLE = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)

MESSAGE_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)

_OPTIONS: Sequence[tuple[str, Any]] = (
    *MESSAGE_OPTIONS,
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
_RETRIES: Sequence[tuple[str, Any]] = (("grpc.service_config", _RETRY_UNAVAILABLE),)
# Who asks again and again wants to be connected soon after the other is back.
_RECONNECTS: Sequence[tuple[str, Any]] = (("grpc.max_reconnect_backoff_ms", 10_000),)


def open_channel(
    address: str, settings: ServiceSettings, *, retries: bool = True
) -> grpc.aio.Channel:
    """Open a channel to another service with this service's certificate.

    With `retries`, calls that end UNAVAILABLE are tried again by service config: every method of
    the contract is idempotent by its request's ids. Without, the caller does that itself.
    """
    options = [*_OPTIONS, *(_RETRIES if retries else _RECONNECTS)]
    if settings.tls_certificate is None and settings.tls_ca is None:
        return grpc.aio.insecure_channel(address, options=options)
    credentials = channel_credentials(settings.tls_ca, settings.tls_certificate, settings.tls_key)
    return grpc.aio.secure_channel(address, credentials, options=options)


def call_metadata(settings: ServiceSettings) -> tuple[tuple[str, str], ...]:
    """Return the metadata that identifies this service to another."""
    if settings.token is None:
        return ()
    return (("authorization", f"Bearer {settings.token}"),)
