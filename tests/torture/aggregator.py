"""Kills aggregators and their Valkey at random instants, and counts what became of every block.

Two replicas share a Valkey whose append-only file is synchronised at each write. Pipelines send
hours of blocks to either replica, retry until each block is acknowledged, send some again, and
report the hour's outcomes. Meanwhile one of the three processes after another is killed (-9) and
started again; on a slow machine only as fast as blocks get through, lest all that dies has done
nothing. In the end every acknowledged block must be in its window once, in the window's
counts and in its summary, every window must have been closed and told of once, and each model's
latest window must hold exactly the blocks that it would hold had nothing been killed.

    python -m tests.torture.aggregator [--quick]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import grpc

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.shift_pb2 import ShiftEvent
from services.aggregator.__main__ import main as serve
from services.aggregator.adapters.outgoing import checkpoint_message
from services.aggregator.adapters.redis_client import connect
from services.aggregator.domain.block import Population
from services.aggregator.domain.latest import LatestRules, PaneEntry, fewest_latest, in_order
from services.aggregator.domain.window import parse_window_name, window_id, window_name
from tests.unit.services.aggregator.redis_store import RedisStore
from tests.unit.services.aggregator.served import block_message, calling, timestamp
from tests.unit.services.aggregator.worlds import HOUR, NOON, block, checkpoint, lfis
from tests.valkey import ValkeyServer, start_valkey

MODELS = ("ads_ctr", "feed_like", "video_watch")
BLOCK_EXAMPLES = 10
BLOCKS_AN_HOUR = 8
LATEST_RULES = LatestRules(examples=10 * BLOCK_EXAMPLES, step_examples=1)
REPLICAS = 2
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
_ATTEMPT_SECONDS = 3.0
_BROKEN_OFF = "Internal error from Core"
"""What gRPC's own client says when the connection breaks while it writes."""
_MOST_LOOKS = 300


@dataclass
class Tally:
    """What pipelines were told."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    """Blocks by window."""
    sent: int = 0
    """Blocks that were acknowledged, of windows that are not whole yet, too."""
    kills: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


class Machine:
    """The processes, and how to kill one and start it again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._valkey_folder = folder / "valkey"
        self._valkey_folder.mkdir()
        self._valkey = ExitStack()
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["services.aggregator.__main__"])
        self.server = self._start_valkey()
        self._replicas = [self._start_replica(number) for number in range(REPLICAS)]

    def address(self) -> str | None:
        """Where one of the replicas serves, or served; None if neither does yet."""
        try:
            return self._address_file(random.randrange(REPLICAS)).read_text()
        except FileNotFoundError:
            return None

    def kill_one(self) -> None:
        """Kill a process and start it again; a replica comes back in its own time."""
        victim = random.randrange(REPLICAS + 1)
        if victim == REPLICAS:
            os.kill(self.server.pid, signal.SIGKILL)
            self._valkey.close()
            self.server = self._start_valkey()
            return
        self._replicas[victim].kill()
        self._replicas[victim].join()
        self._replicas[victim] = self._start_replica(victim)

    def stop(self) -> None:
        """End everything."""
        for replica in self._replicas:
            replica.kill()
            replica.join()
        self._valkey.close()

    def _start_valkey(self) -> ValkeyServer:
        return self._valkey.enter_context(start_valkey(*DURABLE, folder=self._valkey_folder))

    def _start_replica(self, number: int) -> ForkServerProcess:
        file = self._address_file(number)
        file.unlink(missing_ok=True)
        settings = {
            "REDIS_URL": self.server.url,
            "ADDRESS_FILE": str(file),
            "SWEEP_SECONDS": "0.1",
            "RESAMPLES": "10",
            "FURTHEST_AHEAD_SECONDS": "1e9",
            "RETENTION_DAYS": "3650",
            "LATEST_EXAMPLES": str(LATEST_RULES.examples),
            "LATEST_STEP_EXAMPLES": str(LATEST_RULES.step_examples),
            "LOG_LEVEL": "CRITICAL",
        }
        return _started(self._processes, settings)

    def _address_file(self, number: int) -> Path:
        return self._folder / f"address-{number}"


def _started(processes: ForkServerContext, settings: dict[str, str]) -> ForkServerProcess:
    process = processes.Process(target=_serve, args=(settings,), daemon=True)
    process.start()
    return process


def _serve(settings: dict[str, str]) -> None:
    os.environ.update({f"AFTERSHOCK_AGGREGATOR_{key}": value for key, value in settings.items()})
    serve()


def main() -> None:
    """Torture and print one JSON object last; exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="100 kills, within 45 s")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        try:
            answer = asyncio.run(_tortured(machine, kills=100 if arguments.quick else 1000))
        finally:
            machine.stop()
    print(json.dumps(answer))
    promises = ["lost", "double_counted", "windows_closed_twice", "windows_never_closed"]
    promises.append("latest_wrong")
    raise SystemExit(any(answer[promise] for promise in promises))


async def _tortured(machine: Machine, kills: int) -> dict[str, int]:
    tally = Tally()
    pipelines = [asyncio.create_task(_pipeline(machine, model, tally)) for model in MODELS]
    while tally.kills < kills:
        await asyncio.sleep(random.uniform(0, 0.25))
        if tally.sent >= tally.kills:
            await asyncio.to_thread(machine.kill_one)
            tally.kills += 1
        failed = [task for task in pipelines if task.done()]
        if failed:
            failed[0].result()
    tally.stopping.set()
    await asyncio.gather(*pipelines)
    return {
        "kills": tally.kills,
        "acknowledged": tally.acknowledged.total(),
        **await _verdict(machine.server.url, tally),
    }


async def _pipeline(machine: Machine, model: str, tally: Tally) -> None:
    """Send hour after hour of one model until told to stop; a begun hour is ended."""
    start = NOON
    while not tally.stopping.is_set():
        name = window_name(model, start)
        blocks = (_block_requests(model, start, number) for number in range(BLOCKS_AN_HOUR))
        await asyncio.gather(*(_send(machine, requests, tally) for requests in blocks))
        tally.acknowledged[name] += BLOCKS_AN_HOUR
        await _insist(machine, _outcomes_request(model, start))
        start += HOUR


async def _send(machine: Machine, requests: Sequence[pb.IngestLfiRequest], tally: Tally) -> None:
    """Get a block acknowledged, some of them twice."""
    await _insist(machine, requests)
    tally.sent += 1
    if random.random() < 0.2:
        await _insist(machine, requests)


def _block_requests(model: str, start: datetime, number: int) -> list[pb.IngestLfiRequest]:
    registered = replace(checkpoint(), model=model)
    population = list(Population)[number % 2]
    made = block(
        lfis(number, BLOCK_EXAMPLES),
        f"b{number}",
        event_time=start,
        population=population,
        arrow_stream=b"examples",
        model=model,
    )
    return [
        pb.IngestLfiRequest(checkpoint=checkpoint_message(registered)),
        pb.IngestLfiRequest(block=block_message(made)),
    ]


def _outcomes_request(model: str, start: datetime) -> pb.ReportOutcomesRequest:
    return pb.ReportOutcomesRequest(
        model=f"models/{model}",
        request_id=start.isoformat(),
        start_time=timestamp(start),
        end_time=timestamp(start + HOUR),
        expected=1000.0,
        observed=1000,
    )


async def _insist(
    machine: Machine, request: Sequence[pb.IngestLfiRequest] | pb.ReportOutcomesRequest
) -> None:
    """Send until it is acknowledged. Whatever is not a passing trouble is raised."""
    while True:
        address = machine.address()
        try:
            if address and await _is_acknowledged(address, request):
                return
        except grpc.aio.AioRpcError as error:
            if error.details() != _BROKEN_OFF:
                _check_passing(error.code().value[0], error.details() or "")
        await asyncio.sleep(random.uniform(0, 0.05))


async def _is_acknowledged(
    address: str, request: Sequence[pb.IngestLfiRequest] | pb.ReportOutcomesRequest
) -> bool:
    async with calling(address) as stub:
        if isinstance(request, pb.ReportOutcomesRequest):
            await stub.ReportOutcomes(request, timeout=_ATTEMPT_SECONDS)
            return True
        async for answer in stub.IngestLfi(iter(request), timeout=_ATTEMPT_SECONDS):
            if answer.HasField("receipt"):
                return True
            _check_passing(answer.error.code, answer.error.message)
    return False


def _check_passing(code: int, message: str) -> None:
    passing = (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
    if code not in [status.value[0] for status in passing]:
        raise AssertionError(f"refused for good: {code} {message}")


async def _verdict(url: str, tally: Tally) -> dict[str, int]:
    """Compare what is stored with what pipelines were told, once all windows are closed."""
    async with connect(url) as client:
        store = RedisStore(client)
        for _ in range(_MOST_LOOKS):
            if not await _is_busy(store):
                break
            await asyncio.sleep(0.2)
        events = Counter[str]()
        for model in MODELS:
            entries: Any = await client.xrange(f"as:{{{model}}}:shifts")
            events.update(ShiftEvent.FromString(f[b"event"]).window.name for _, f in entries)
        lost = double = 0
        for name, blocks in tally.acknowledged.items():
            for examples in await _stored(store, name):
                lost += max(blocks - examples // BLOCK_EXAMPLES, 0)
                double += max(examples // BLOCK_EXAMPLES - blocks, 0)
        wrong = sum([await _is_latest_wrong(store, model, tally) for model in MODELS])
    return {
        "lost": lost,
        "double_counted": double,
        "windows": len(tally.acknowledged),
        "windows_closed_twice": sum(count - 1 for count in events.values()),
        "windows_never_closed": len(tally.acknowledged) - len(events),
        "latest_wrong": wrong,
    }


async def _is_latest_wrong(store: RedisStore, model: str, tally: Tally) -> bool:
    """Whether the latest window holds other blocks than the latest, or lacks a pane of one."""
    expected: list[PaneEntry] = []
    starts = [parse_window_name(name) for name in tally.acknowledged]
    for population in range(2):
        theirs = [
            PaneEntry(start, f"{window_id(start)}:b{number}", BLOCK_EXAMPLES)
            for owner, start in starts
            if owner == model
            for number in range(population, BLOCKS_AN_HOUR, 2)
        ]
        expected += fewest_latest(theirs, LATEST_RULES.examples_each)
    held = await store.latest.latest(model)
    entries = held.entries if held else []
    panes = await store.latest.latest_panes(model, entries)
    return list(entries) != in_order(expected) or None in panes


async def _is_busy(store: RedisStore) -> bool:
    works = [await store.keeper("judge").work(model) for model in MODELS]
    return any(work.closable or work.evaluable for work in works)


async def _stored(store: RedisStore, name: str) -> tuple[int, int]:
    """Return the window's examples by its counts and by its summary."""
    window = await store.windows.window(*parse_window_name(name))
    summary = await store.windows.summary(window)
    return window.example_count, summary.example_count if summary else 0


if __name__ == "__main__":
    main()
