"""Serves a service: interceptors, health, reflection, readiness, drain."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.chassis.channel import MESSAGE_OPTIONS
from services.chassis.errors import ErrorTable
from services.chassis.interceptors.auth import AccessTable, AuthInterceptor
from services.chassis.interceptors.deadline import DeadlineInterceptor
from services.chassis.interceptors.errors import ErrorInterceptor
from services.chassis.interceptors.telemetry import TelemetryInterceptor
from services.chassis.interceptors.validation import ValidationInterceptor
from services.chassis.roster import Roster
from services.chassis.settings import ServiceSettings
from services.chassis.telemetry import serve_metrics
from services.chassis.tls import server_credentials

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_MIB = 1024 * 1024
_SERVER_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.so_reuseport", 0),
    # A watcher's stream is silent for hours: let it ask whether we are still there.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
)


@dataclass(frozen=True)
class Service:
    """What a service hands over to be served."""

    names: Sequence[str]
    """Full names of its gRPC services, for health and reflection."""
    register: Callable[[grpc.aio.Server], None]
    """Adds its servicers to the server."""
    errors: ErrorTable
    access: AccessTable
    background: Sequence[Callable[[], Awaitable[None]]] = field(default=())
    """Run until the server stops. One that ends or raises stops the server."""


async def serve(service: Service, settings: ServiceSettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        SystemExit: an address cannot be bound, in a line that says which.
        Exception: what a background task raised.
    """
    prepare_process(settings)
    with listening_on(settings.metrics_listen):
        stop_metrics = serve_metrics(settings)
    server = build_server(service, settings)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = bind(server, settings)
    stopping = _stop_signal()
    await server.start()
    for name in ("", *service.names):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    tasks = [asyncio.ensure_future(run()) for run in service.background]
    # What was imported and wired stays: to look through it for garbage, again and again, holds
    # every call up for a tenth of a second or longer.
    gc.freeze()
    announce(address, settings.address_file)
    try:
        await _until_stopped(stopping, tasks)
    finally:
        await health.enter_graceful_shutdown()
        await _cancel(tasks)
        await server.stop(settings.drain_seconds)
        stop_metrics()


def build_server(service: Service, settings: ServiceSettings) -> grpc.aio.Server:
    """Return a server with the interceptors and the service's servicers, not yet bound."""
    public_key = settings.token_public_key.read_bytes() if settings.token_public_key else None
    roster = Roster(settings.roster) if settings.roster else None
    server = grpc.aio.server(
        interceptors=[
            TelemetryInterceptor(),
            ErrorInterceptor(service.errors),
            DeadlineInterceptor(),
            AuthInterceptor(public_key, service.access, roster),
            ValidationInterceptor(),
        ],
        options=[*MESSAGE_OPTIONS, *_SERVER_OPTIONS],
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
    )
    service.register(server)
    if settings.reflection:
        names = (*service.names, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    return server


def bind(server: grpc.aio.Server, settings: ServiceSettings) -> str:
    """Bind the server and return its address with the port that it got."""
    host = settings.listen.rpartition(":")[0]
    credentials = None
    if settings.tls_certificate and settings.tls_key:
        credentials = server_credentials(
            settings.tls_certificate, settings.tls_key, settings.tls_ca
        )
    with listening_on(settings.listen):
        if credentials is None:
            port = server.add_insecure_port(settings.listen)
        else:
            port = server.add_secure_port(settings.listen, credentials)
    return f"{host}:{port}"


@contextmanager
def listening_on(address: str | None) -> Iterator[None]:
    """End the process with a line for whoever started it if the address cannot be bound."""
    try:
        yield
    except (OSError, OverflowError, RuntimeError):
        sys.exit(
            f"cannot listen on {address}: something else listens there, or this machine has no "
            "such address"
        )


def announce(address: str, address_file: Path | None) -> None:
    """Say that the server is ready, in the log and in a file that appears whole."""
    _log.info("serving", extra={"address": address})
    if address_file is not None:
        scratch = address_file.with_suffix(".tmp")
        scratch.write_text(address)
        scratch.replace(address_file)


def prepare_process(settings: ServiceSettings) -> None:
    """Tune the process for large messages, and bind its life to its parent's if asked to."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        # Page faults dominate large messages when glibc returns freed memory at once
        # (M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD).
        for parameter, value in ((-1, 1024 * _MIB), (-2, 64 * _MIB), (-3, 1024 * _MIB)):
            libc.mallopt(parameter, value)
    if settings.exit_with_parent is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # Whoever died before that sent no signal. That the parent is process 1 proves nothing: in a
        # container, what starts us may be just that.
        if os.getppid() != settings.exit_with_parent:
            sys.exit(
                f"process {settings.exit_with_parent}, which exit_with_parent names, is gone or "
                "did not start this one"
            )


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def _until_stopped(stopping: asyncio.Event, tasks: Sequence[asyncio.Future[None]]) -> None:
    stop = asyncio.create_task(stopping.wait())
    waiting: list[asyncio.Future[Any]] = [stop, *tasks]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    for task in tasks:
        if task.done():
            await task


async def _cancel(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
