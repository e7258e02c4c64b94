"""HTTP beside gRPC: the same tokens and errors, bounded, and drained."""

import asyncio
import gzip
import json
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from services.chassis.errors import DependencyUnavailable, InvalidRequest, Overloaded
from services.chassis.http.server import HttpServer, Route
from services.chassis.settings import ServiceSettings
from services.chassis.tokens import Role, issue_token, new_key_pair
from tests.certificates import sign, write

_PRIVATE, _PUBLIC = new_key_pair()
_BODY_BYTES = 10_000


class Gate:
    """A handler that waits until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.Response:
        self.entered.set()
        await self.open.wait()
        return web.json_response({"done": True})


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"length": len(await request.read())})


async def fail(request: web.Request) -> web.Response:
    match request.query["how"]:
        case "invalid":
            raise InvalidRequest([("inputs[0].name", "must not be empty"), ("x", "is odd")])
        case "down":
            raise DependencyUnavailable("the store is down: try again", retry_after=1.2)
        case "full":
            raise Overloaded("the store is full: try later", retry_after=0.1)
    raise KeyError("a secret of the server")


@asynccontextmanager
async def serving(
    folder: Path,
    *routes: Route,
    at_once: int = 8,
    body_seconds: float = 30.0,
    **settings: Any,
) -> AsyncIterator[str]:
    """Serve the routes; yields `host:port`."""
    file = folder / "address"
    server = HttpServer(
        routes=routes,
        errors={},
        settings=ServiceSettings(**settings),
        listen="127.0.0.1:0",
        address_file=file,
        body_bytes=_BODY_BYTES,
        body_seconds=body_seconds,
        requests_at_once=at_once,
    )
    task = asyncio.create_task(server.run())
    while not file.exists():
        await asyncio.sleep(0.01)
        assert not task.done(), task
    try:
        yield file.read_text()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _token(*roles: Role) -> dict[str, str]:
    token = issue_token(_PRIVATE, "ana", roles, timedelta(hours=1))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "public.pem"
    file.write_bytes(_PUBLIC)
    return file


ECHO = Route("POST", "/echo", Role.PIPELINE, echo)
FAIL = Route("GET", "/fail", Role.READER, fail)


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({}, 401, "ERROR_REASON_UNAUTHENTICATED"),
        ({"Authorization": "Basic YTpi"}, 401, "ERROR_REASON_UNAUTHENTICATED"),
        ({"Authorization": "Bearer nonsense"}, 401, "ERROR_REASON_UNAUTHENTICATED"),
        (_token(Role.READER), 403, "ERROR_REASON_FORBIDDEN"),
        (_token(Role.PIPELINE), 200, None),
        (_token(Role.ADMIN), 200, None),
    ],
)
async def test_a_route_takes_its_role(
    tmp_path: Path, key: Path, headers: dict[str, str], status: int, reason: str | None
) -> None:
    async with (
        serving(tmp_path, ECHO, token_public_key=key) as address,
        httpx.AsyncClient() as client,
    ):
        answer = await client.post(f"http://{address}/echo", content=b"{}", headers=headers)
    assert answer.status_code == status
    assert answer.json().get("reason") == reason


async def test_without_a_key_everybody_is_local(tmp_path: Path) -> None:
    async with serving(tmp_path, ECHO) as address, httpx.AsyncClient() as client:
        answer = await client.post(f"http://{address}/echo", content=b"12345")
    assert answer.json() == {"length": 5}


async def test_a_refusal_names_the_fields(tmp_path: Path) -> None:
    async with serving(tmp_path, FAIL) as address, httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/fail?how=invalid")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json() == {
        "title": "Invalid argument",
        "status": 400,
        "detail": "inputs[0].name: must not be empty; x: is odd",
        "reason": "ERROR_REASON_INVALID_REQUEST",
        "errors": [
            {"field": "inputs[0].name", "detail": "must not be empty"},
            {"field": "x", "detail": "is odd"},
        ],
    }


@pytest.mark.parametrize(
    ("how", "status", "retry_after"), [("down", 503, "2"), ("full", 429, "1"), ("odd", 500, None)]
)
async def test_what_can_be_tried_again_says_when(
    tmp_path: Path, how: str, status: int, retry_after: str | None
) -> None:
    async with serving(tmp_path, FAIL) as address, httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/fail?how={how}")
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == retry_after
    assert "secret" not in answer.text


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_body_is_bounded_uncompressed(tmp_path: Path, compressed: bool) -> None:
    body = json.dumps("a" * _BODY_BYTES).encode()
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    async with serving(tmp_path, ECHO) as address, httpx.AsyncClient() as client:
        sent = gzip.compress(body) if compressed else body
        answer = await client.post(f"http://{address}/echo", content=sent, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["status"] == 413
        small = gzip.compress(b"12345")
        packed = await client.post(
            f"http://{address}/echo", content=small, headers={"Content-Encoding": "gzip"}
        )
    assert packed.json() == {"length": 5}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/no", 404), ("GET", "/echo", 405)])
async def test_an_unknown_route_is_a_problem_too(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with serving(tmp_path, ECHO) as address, httpx.AsyncClient() as client:
        answer = await client.request(method, f"http://{address}{path}")
    assert answer.status_code == answer.json()["status"] == status


async def test_requests_at_once_are_bounded(tmp_path: Path) -> None:
    gate = Gate()
    route = Route("GET", "/wait", Role.READER, gate)
    async with serving(tmp_path, route, at_once=1) as address, httpx.AsyncClient() as client:
        first = asyncio.create_task(client.get(f"http://{address}/wait"))
        await gate.entered.wait()
        second = await client.get(f"http://{address}/wait")
        gate.open.set()
        assert (await first).json() == {"done": True}
        third = await client.get(f"http://{address}/wait")
    assert (second.status_code, second.headers["Retry-After"]) == (429, "1")
    assert third.status_code == 200


async def test_a_request_under_way_is_answered_on_the_way_out(tmp_path: Path) -> None:
    gate = Gate()
    async with httpx.AsyncClient() as client:
        async with serving(tmp_path, Route("GET", "/wait", Role.READER, gate)) as address:
            under_way = asyncio.create_task(client.get(f"http://{address}/wait"))
            await gate.entered.wait()
            asyncio.get_running_loop().call_later(0.2, gate.open.set)
        assert (await under_way).json() == {"done": True}
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{address}/wait")


async def test_both_sides_show_a_certificate(tmp_path: Path) -> None:
    authority = sign("authority")
    ca, _ = write(tmp_path, "ca", authority)
    certificate, key = write(tmp_path, "server", sign("server", authority))
    own, own_key = write(tmp_path, "pipeline", sign("pipeline", authority))
    files: Any = {"tls_certificate": certificate, "tls_key": key, "tls_ca": ca}
    async with serving(tmp_path, ECHO, **files) as address:
        url = f"https://localhost:{address.rpartition(':')[2]}/echo"
        trusting = ssl.create_default_context(cafile=str(ca))
        async with httpx.AsyncClient(verify=trusting) as stranger:
            with pytest.raises(httpx.TransportError):
                await stranger.post(url, content=b"123")
        trusting.load_cert_chain(own, own_key)
        async with httpx.AsyncClient(verify=trusting) as pipeline:
            assert (await pipeline.post(url, content=b"123")).json() == {"length": 3}


@pytest.mark.parametrize(
    ("encoding", "body", "status", "told"),
    [
        ("deflate", zlib.compress(b"{}"), 200, ""),
        ("identity", b"{}", 200, ""),
        ("x-unheard-of", b"{}", 415, "send one of identity, gzip, deflate"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), 415, "send one of"),
        ("gzip", b"no gzip", 400, "the body cannot be read"),
        ("gzip", gzip.compress(bytes(50_000_000), mtime=0), 413, "exceeded"),
    ],
)
async def test_a_body_that_cannot_be_read_is_said_to_be(
    tmp_path: Path, encoding: str, body: bytes, status: int, told: str
) -> None:
    async with serving(tmp_path, ECHO) as address, httpx.AsyncClient() as client:
        headers = {"Content-Encoding": encoding}
        answer = await client.post(f"http://{address}/echo", content=body, headers=headers)
        assert answer.status_code == status
        assert told in answer.json().get("detail", "")
        assert (await client.post(f"http://{address}/echo", content=b"{}")).status_code == 200


async def _raw(address: str, *parts: bytes) -> bytes:
    """Return the first line of the answer to what is sent, without an end of it."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for part in parts:
        writer.write(part)
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.readline(), 20)
    finally:
        writer.close()


_HEAD = b"POST /echo HTTP/1.1\r\nHost: here\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        (b"Content-Length: 100\r\n\r\n", b"{"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nabcde\r\n"),
    ],
)
async def test_a_body_that_drips_gives_its_place_away(
    tmp_path: Path, parts: tuple[bytes, ...]
) -> None:
    async with serving(tmp_path, ECHO, at_once=1, body_seconds=0.3) as address:
        assert b" 408 " in await _raw(address, _HEAD, *parts)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"http://{address}/echo", content=b"{}")
    assert answer.status_code == 200


async def test_a_body_that_is_said_to_be_too_long_is_not_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path, ECHO) as address:
        assert b" 413 " in await _raw(address, _HEAD, b"Content-Length: 99999999999\r\n\r\n{}")


async def test_a_sender_who_leaves_is_no_fault_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, ECHO, at_once=1) as address:
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(_HEAD + b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with httpx.AsyncClient() as client, asyncio.timeout(20):
            while (  # noqa: ASYNC110 - nothing tells
                await client.post(f"http://{address}/echo", content=b"{}")
            ).status_code != 200:
                await asyncio.sleep(0.05)
    assert "unexpected error" not in caplog.text
