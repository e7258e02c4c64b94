"""Connections to Redis or Valkey, scripts, and what their failures mean to callers."""

import asyncio
import hashlib
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.aggregator.adapters.redis_durability import Durability
from services.chassis.errors import DependencyUnavailable, Overloaded

_FOLDER = Path(__file__).parent / "lua"
_RETRY_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
_AT_ONCE = Durability()
_UNREACHABLE = (
    RedisConnectionError,
    RedisTimeoutError,
    ClusterError,
    RedisClusterException,
)
_NOT_WRITABLE = (
    ReadOnlyError,
    MasterDownError,
    ClusterDownError,
    TryAgainError,
    AskError,
    MovedError,
)
_NOT_WRITABLE_CODES = ("MISCONF", "NOREPLICAS")

_CLUSTER = "+cluster"
_NO_FILE = "WAITAOF cannot be used"


def connect(url: str) -> Redis:
    """Return a client of the server at `redis://`, `rediss://` or `unix://`; nothing connects yet.

    `redis+cluster://` and `rediss+cluster://` name any node of a cluster; its client speaks the
    same commands under another type. A command whose connection breaks is sent again: every script
    can be.
    """
    server, _, rest = url.partition("://")
    kind: Any = RedisCluster if server.endswith(_CLUSTER) else Redis
    # No socket timeout: with one, the client awaits its sends by wait_for, which in Python 3.11
    # loses cancellations. `ask` has its own.
    client: Redis = kind.from_url(
        f"{server.removesuffix(_CLUSTER)}://{rest}",
        socket_connect_timeout=2,
        socket_timeout=None,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=3),
    )
    return client


def spans_servers(client: Redis) -> bool:
    """Whether keys of different models may lie on different servers."""
    return isinstance(client, RedisCluster)


@contextmanager
def _translated() -> Iterator[None]:
    """Say what a failure of Redis means to whoever waits for it."""
    try:
        yield
    except OutOfMemoryError as error:
        raise Overloaded("the window store is full: try again later", _RETRY_SECONDS) from error
    except TimeoutError as error:
        raise Overloaded(
            f"the window store has not answered in {_PATIENCE_SECONDS:g} s: send less, or later",
            _RETRY_SECONDS,
        ) from error
    except _UNREACHABLE as error:
        raise DependencyUnavailable(
            "the window store cannot be reached: try again", _RETRY_SECONDS
        ) from error
    except ResponseError as error:
        if str(error).startswith(_NO_FILE):
            raise DependencyUnavailable(
                "acknowledge_on_disk is set, and the window store has no append-only file: "
                "`CONFIG SET appendonly yes`",
                _RETRY_SECONDS,
            ) from error
        if not isinstance(error, _NOT_WRITABLE) and not str(error).startswith(_NOT_WRITABLE_CODES):
            raise
        raise DependencyUnavailable(
            "the window store takes no writes just now: try again", _RETRY_SECONDS
        ) from error


async def ask(command: Awaitable[Any]) -> Any:
    """Return the server's reply to a command; strings are bytes.

    Raises:
        DependencyUnavailable: it cannot be reached, or takes no writes just now.
        Overloaded: it is out of memory, or slow to answer.
    """
    with _translated():
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await command


class Script:
    """A Lua script that runs as one atomic step. The server keeps it by its digest."""

    def __init__(self, name: str, *, only_reads: bool = False) -> None:
        prelude, body = ((_FOLDER / f"{part}.lua").read_text() for part in ("prelude", name))
        # The shebang has the server refuse the whole script, before its first write, when it is out
        # of memory or read-only; one that only reads must say so to be run even then.
        shebang = "#!lua flags=no-writes" if only_reads else "#!lua"
        self._text = f"{shebang}\n{prelude}\n{body}"
        self._digest = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(
        self,
        client: Redis,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int | float],
        durability: Durability = _AT_ONCE,
    ) -> Any:
        """Run the script over `keys`, all of one model, and wait for the copies asked for.

        Raises:
            DependencyUnavailable, Overloaded: see `ask`, `Durability`.
        """
        given = (len(keys), *keys, *arguments)
        try:
            return await ask(_run(client, durability, "EVALSHA", self._digest, *given))
        except NoScriptError:
            return await ask(_run(client, durability, "EVAL", self._text, *given))


async def _run(client: Redis, durability: Durability, *command: Any) -> Any:
    if not durability.command:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]
    # One connection for both: a server waits for the writes of the connection that asks. So a
    # cluster's client must not send them elsewhere one by one: the sender tries again instead.
    pipeline: Any = client.pipeline(transaction=False)
    pipeline.execute_command(*command)
    if isinstance(client, RedisCluster):
        node = client.get_node_from_key(command[3])
        pipeline.execute_command(*durability.command, target_nodes=node)
        answers = await pipeline.execute(raise_on_error=False, allow_redirections=False)
    else:
        pipeline.execute_command(*durability.command)
        answers = await pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    durability.check(answers[1])
    return answers[0]
