"""A real Valkey server for tests, gone when the process that started it is gone."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from deploy.valkey import Valkey

_MEMORY_ALONE = ("--appendonly", "no")


@dataclass(frozen=True)
class ValkeyServer:
    """A running server of its own."""

    url: str
    """`unix://...`, as redis-py takes it."""
    pid: int
    """Of the server itself, for tests that pause or kill it."""

    def connect(self) -> redis.Redis:
        """Return a client that tests look behind the scenes with."""
        return redis.Redis.from_url(self.url)


@contextmanager
def start_valkey(*options: str, folder: Path | None = None) -> Iterator[ValkeyServer]:
    """Run a server on a socket of its own until the block is left, then end it as a crash would.

    `options` are Valkey's own; nothing is persisted unless they say so. Its data and its socket lie
    in `folder`; without one, in a folder that goes with it.
    """
    home = folder or Path(tempfile.mkdtemp(prefix="valkey-"))
    server = Valkey(home, (*_MEMORY_ALONE, *options), scratch=folder is None)
    try:
        yield ValkeyServer(url=server.url, pid=server.pid)
    finally:
        server.kill()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """One server a test process."""
    with start_valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> ValkeyServer:
    """The process's server, emptied."""
    with valkey_server.connect() as client:
        client.flushall()
    return valkey_server
