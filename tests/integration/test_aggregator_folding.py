"""A large window through real gRPC over a real Valkey: it is folded, and stops growing."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
from prometheus_client import REGISTRY

from aftershock.v1 import aggregator_service_pb2 as pb
from services.aggregator.adapters.redis_checkpoints import RedisCheckpoints
from services.aggregator.adapters.redis_client import connect
from services.aggregator.adapters.redis_state import StateMeter
from services.aggregator.domain.block import Block, Population
from services.aggregator.domain.fold import MOST_RELATIVE_ERROR
from tests.unit.services.aggregator.served import (
    NAME,
    TIMEOUT,
    Client,
    block_message,
    ingest,
    report,
    served,
    watched,
)
from tests.unit.services.aggregator.worlds import HOUR, MODEL, NOON, RULES, block, lfis
from tests.valkey import ValkeyServer

WINDOW = f"{NAME}/windows/20261120T120000Z"
SETTINGS = {"latest_examples": 0, "sweep_seconds": 0.05}


def blocks(first: int, last: int) -> list[Block]:
    return [
        replace(block(lfis(number % 8, 500), f"b{number}"), population=list(Population)[number % 2])
        for number in range(first, last)
    ]


def pane_bytes(valkey: ValkeyServer) -> int:
    with valkey.connect() as behind:
        keys = [f"as:{{{MODEL}}}:panes", *behind.scan_iter(f"as:{{{MODEL}}}:window:*:folds")]
        sizes: list[Any] = [behind.memory_usage(key, samples=0) for key in keys]
        return sum(size or 0 for size in sizes)


async def told_bytes(valkey: ValkeyServer) -> float:
    """What the model's panes take, as operators are told."""
    async with connect(valkey.url) as client:
        await StateMeter(client, RedisCheckpoints(client, RULES.retention), 60).weigh_all()
    labels = {"model": MODEL, "kind": "panes"}
    return REGISTRY.get_sample_value("aftershock_state_bytes", labels) or 0.0


async def folded(valkey: ValkeyServer, count: int) -> None:
    """Wait until so many blocks are folded."""
    key = f"as:{{{MODEL}}}:window:20261120T120000Z:folded"
    with valkey.connect() as behind:
        for _ in range(round(TIMEOUT / 0.05)):
            if behind.scard(key) == count:
                return
            await asyncio.sleep(0.05)
    raise AssertionError(f"{count} blocks were never folded")


async def importances(stub: Client) -> dict[str, tuple[float, float]]:
    answer = await stub.GetGfi(pb.GetGfiRequest(window=WINDOW), timeout=TIMEOUT)
    return {each.feature: (each.gfi, each.coverage) for each in answer.importances}


async def test_a_large_window_stops_growing_and_stays_within_its_error(
    valkey: ValkeyServer,
) -> None:
    async with served(valkey.url, fold_examples=2000, **SETTINGS) as stub:
        await ingest(stub, map(block_message, blocks(0, 64)))
        await folded(valkey, 64)
        once = pane_bytes(valkey)
        await ingest(stub, map(block_message, blocks(64, 256)))
        await folded(valkey, 256)
        assert pane_bytes(valkey) < 1.2 * once
        assert await told_bytes(valkey) >= pane_bytes(valkey) > 0
        live = await importances(stub)
        await report(stub, NOON)
        await report(stub, NOON + HOUR)
        await watched(stub, 1)
        assert await importances(stub) == live
    dense = np.abs(np.concatenate([lfis(number, 500) for number in range(8)]).astype(np.float64))
    for j, column in enumerate(dense.T):
        present = column[column > 0]
        gfi, coverage = live[f"f{j}"]
        assert coverage == len(present) / len(column)
        assert abs(gfi / (coverage * np.median(present)) - 1) <= 1.2 * MOST_RELATIVE_ERROR


async def test_a_fold_that_fails_keeps_no_window_open(valkey: ValkeyServer) -> None:
    async with served(valkey.url, fold_examples=2000, **SETTINGS) as stub:
        with valkey.connect() as behind:
            # Not a list: folding and measuring cannot read it.
            behind.set(f"as:{{{MODEL}}}:window:20261120T120000Z:folds", "damaged")
        await ingest(stub, map(block_message, blocks(0, 40)))
        later = replace(block(lfis(1), "later"), event_time=NOON + 2 * HOUR)
        await ingest(stub, [block_message(later)])
        await report(stub, NOON + 3 * HOUR)
        await report(stub, NOON + 2 * HOUR)
        (event,) = await watched(stub, 1)
    assert event.window.name.endswith("20261120T140000Z")
