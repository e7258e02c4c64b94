"""Serves routes over HTTP: tokens, problems, a bound on bodies and on requests at once, drain."""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import Counter, Histogram

from services.chassis.errors import ErrorTable, Forbidden, Overloaded, is_expected
from services.chassis.http.problems import CONTENT_TYPE, problem_of
from services.chassis.server import announce, listening_on
from services.chassis.settings import ServiceSettings
from services.chassis.tokens import Role, identify

_log = logging.getLogger(__name__)
_REQUESTS = Counter(
    "aftershock_http_requests_total", "Requests by route and status.", ["route", "status"]
)
_SECONDS = Histogram("aftershock_http_seconds", "Duration of requests.", ["route"])
_RETRY_SECONDS = 1.0
_ENCODINGS = ("identity", "gzip", "deflate")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    """What is answered, to whom."""

    method: str
    path: str
    role: Role
    """The role that a caller needs."""
    answer: Handler


@dataclass(frozen=True)
class HttpServer:
    """Routes at an address. TLS, tokens and the time to drain are those of the gRPC server."""

    routes: Sequence[Route]
    errors: ErrorTable
    settings: ServiceSettings
    listen: str
    """`host:port`; port 0 takes a free one."""
    address_file: Path | None
    """Where to write the bound address once the server is ready."""
    body_bytes: int
    """A longer body, uncompressed, is answered 413."""
    body_seconds: float
    """A body that takes longer to arrive is answered 408."""
    requests_at_once: int
    """More are answered 429."""

    async def run(self) -> None:
        """Serve until cancelled, then let requests under way finish.

        Raises:
            OSError: the address cannot be bound.
        """
        runner = web.AppRunner(
            self._application(),
            handle_signals=False,
            access_log=None,
            shutdown_timeout=self.settings.drain_seconds,
        )
        await runner.setup()
        try:
            host, _, port = self.listen.rpartition(":")
            site = web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=self._tls())
            with listening_on(self.listen):
                await site.start()
            bound = runner.addresses[0][1]
            announce(f"{host}:{bound}", self.address_file)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(
            client_max_size=self.body_bytes, middlewares=[_answering(self.errors)]
        )
        key = self.settings.token_public_key
        public_key = key.read_bytes() if key else None
        room = _Room(self.requests_at_once)
        for route in self.routes:
            handler = _guarded(route, public_key, room, self._arrived)
            application.router.add_route(route.method, route.path, handler)
        return application

    async def _arrived(self, request: web.Request) -> None:
        """Wait for the request's body, which then is at hand, whole and uncompressed.

        Raises:
            HTTPException: it is too long, takes too long, or cannot be read.
        """
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in _ENCODINGS:
            told = f"Content-Encoding {encoding[:80]!r}: send one of {', '.join(_ENCODINGS)}"
            raise web.HTTPUnsupportedMediaType(text=told)
        length = request.content_length or 0
        if length > self.body_bytes:
            raise web.HTTPRequestEntityTooLarge(self.body_bytes, length)
        try:
            async with asyncio.timeout(self.body_seconds):
                await request.read()
        except TimeoutError as error:
            told = f"the body did not arrive within {self.body_seconds:g} s"
            raise web.HTTPRequestTimeout(text=told) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise web.HTTPBadRequest(text=f"the body cannot be read: {error}") from error

    def _tls(self) -> ssl.SSLContext | None:
        settings = self.settings
        if not (settings.tls_certificate and settings.tls_key):
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
        if settings.tls_ca:
            context.load_verify_locations(settings.tls_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class _Room:
    """Requests that are under way."""

    def __init__(self, most: int) -> None:
        self._left = most

    def __enter__(self) -> None:
        if not self._left:
            raise Overloaded("too many requests at once: try again", _RETRY_SECONDS)
        self._left -= 1

    def __exit__(self, *_: object) -> None:
        self._left += 1


def _guarded(
    route: Route,
    public_key: bytes | None,
    room: _Room,
    arrived: Callable[[web.Request], Awaitable[None]],
) -> Handler:
    """Return the route's handler for those who may call it, as long as there is room."""

    async def answer(request: web.Request) -> web.StreamResponse:
        principal = identify(public_key, request.headers.get("Authorization"))
        if not principal.holds(route.role):
            raise Forbidden(
                f"{principal.name} may not {route.method} {route.path}: it takes the role "
                f"{route.role}"
            )
        with room:
            await arrived(request)
            return await route.answer(request)

    return answer


def _answering(errors: ErrorTable) -> Middleware:
    """Return what turns errors into problems, and counts and times every request."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        start = time.perf_counter()
        try:
            response = await handler(request)
        except web.HTTPException as error:
            said = {"title": error.reason, "status": error.status, "detail": error.text}
            response = _problem(said, {})
        except Exception as error:
            if not is_expected(error, errors):
                _log.exception("unexpected error", extra={"path": request.path})
            response = _problem(*problem_of(error, errors))
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "unknown"
        _REQUESTS.labels(route, str(response.status)).inc()
        _SECONDS.labels(route).observe(time.perf_counter() - start)
        return response

    return answer


def _problem(problem: dict[str, Any], headers: dict[str, str]) -> web.Response:
    return web.json_response(
        problem, status=problem["status"], headers=headers, content_type=CONTENT_TYPE
    )
