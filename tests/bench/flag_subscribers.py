"""Model servers in other processes that follow the runbook's flags as OpenFeature does."""

import asyncio
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import FlagNotFoundError

_SECONDS = 30.0
_HOUR_MS = 3_600_000

Seen = tuple[str, bool, list[float]]
"""A flag, whether it kills, and when each provider of a process could say so, by the machine's
monotonic clock."""


@dataclass(frozen=True)
class Subscribers:
    """Processes with real flagd providers, in-process resolver: a connection and a thread each."""

    pipes: Sequence[Connection]

    async def see(self, flag: str, killed: bool) -> list[float]:
        """Wait until every provider evaluates the flag so; return when each could."""
        async with asyncio.timeout(_SECONDS):
            each = [asyncio.to_thread(_next, pipe, flag, killed) for pipe in self.pipes]
            return [at for times in await asyncio.gather(*each) for at in times]


@contextmanager
def following(address: str, processes: int, each: int) -> Iterator[Subscribers]:
    """Start processes with `each` providers and yield once all of them are connected."""
    context = multiprocessing.get_context("forkserver")
    started, pipes = [], []
    try:
        for number in range(processes):
            pipe, theirs = context.Pipe()
            process = context.Process(
                target=_follow, args=(address, number * each, each, theirs), daemon=True
            )
            process.start()
            started.append(process)
            pipes.append(pipe)
        for pipe in pipes:
            assert pipe.recv() == "connected"
        yield Subscribers(pipes)
    finally:
        for process in started:
            process.kill()
            process.join()


def _next(pipe: Connection, flag: str, killed: bool) -> list[float]:
    assert pipe.poll(_SECONDS), f"a process did not see {flag}"
    seen: Seen = pipe.recv()
    assert seen[:2] == (flag, killed)
    return seen[2]


def _follow(address: str, first: int, count: int, pipe: Connection) -> None:
    host, _, port = address.rpartition(":")
    times: dict[tuple[str, bool], list[float]] = defaultdict(list)

    def tell(
        provider: FlagdProvider, _provider: Any, event: ProviderEvent, details: ProviderEventDetails
    ) -> None:
        if event is not ProviderEvent.PROVIDER_CONFIGURATION_CHANGED:
            return
        for flag in details.flags_changed or ():
            killed = _kills(provider, flag)
            reached = times[flag, killed]
            reached.append(time.monotonic())
            if len(reached) == count:
                pipe.send((flag, killed, times.pop((flag, killed))))

    for number in range(first, first + count):
        provider = FlagdProvider(
            resolver_type=ResolverType.IN_PROCESS,
            host=host,
            port=int(port),
            tls=False,
            deadline_ms=int(_SECONDS * 1000),
            # Channels of one process share a connection unless they differ in something.
            keep_alive_time=_HOUR_MS + number,
        )
        provider.attach(partial(tell, provider))
        provider.initialize(EvaluationContext())
    pipe.send("connected")
    pipe.recv()


def _kills(provider: FlagdProvider, flag: str) -> bool:
    try:
        return bool(provider.resolve_boolean_details(flag, False).value)
    except FlagNotFoundError:
        return False
