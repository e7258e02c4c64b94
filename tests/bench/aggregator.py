"""Benchmarks the aggregator: a process of its own, called over gRPC, on a real Valkey.

* Ingest: blocks of a window of 10,000 examples x 1,000 features at 50 % coverage, against NumPy
  appending the same arrays to its own in memory.
* Accuracy: the importances of that window, from sixteen bits a value, against float64.
* Memory: Valkey's own count for the window, live and closed, with what its values looked like.
* Many models: 200 models x 1,000 features, each with a day of closed windows and a live one.
* Sliding: a pane of 100 examples enters and one leaves, against NumPy on the whole window.
* Comparison: two closed windows of 1,000 features whose history is 72 healthy ones, all with what
  their values looked like, as its callers see it: of a history that the process has compared
  before, of one that it has never read, and of one that it has compared an hour before.

    python -m tests.bench.aggregator [--quick]
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from aftershock.v1 import aggregator_service_pb2 as pb
from services.aggregator.adapters.redis_client import connect
from services.aggregator.domain.block import Block, Population
from services.aggregator.domain.gfi import gather, importances
from services.aggregator.domain.sketch import Sketch
from services.aggregator.domain.sliding import SlidingWindow
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import window_id
from tests.aggregator_process import started
from tests.bench.histories import Healthy
from tests.unit.services.aggregator.redis_store import RedisStore
from tests.unit.services.aggregator.served import (
    NAME,
    TIMEOUT,
    Client,
    block_message,
    calling,
    ingest,
    report,
)
from tests.unit.services.aggregator.values import numeric_sketch
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    block,
    checkpoint,
    hour_of,
    lfis,
)
from tests.valkey import start_valkey

FEATURES = 1000
EXAMPLES = 10_000
BLOCK_EXAMPLES = 1000
PANE_EXAMPLES = 100
COVERAGE = 0.5
MODELS = 200
_PACE = (MODEL, "pace_1", "pace_2", "pace_3", "pace_4")
_COMPARED = ("compared_1", "compared_2")
NOON_NAME = f"{NAME}/windows/{window_id(NOON)}"
_SCALES = np.geomspace(1e-4, 1.0, FEATURES).tolist()


def main() -> None:
    """Measure and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer windows, within 45 s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_valkey() as server:
        settings = {"RESAMPLES": "1000", "FEWEST_EXAMPLES": "100"}
        with started(server.url, Path(folder), settings) as running, server.connect() as behind:
            print(json.dumps(asyncio.run(_measured(running.address, behind, arguments.quick))))


async def _measured(address: str, behind: redis.Redis, quick: bool) -> dict[str, float]:
    dense = [lfis(seed, BLOCK_EXAMPLES, _SCALES, COVERAGE) for seed in range(EXAMPLES // 1000)]
    made = [
        replace(
            block(matrix, f"b{number}"),
            population=list(Population)[number % 2],
            sketch=_sketch(number),
        )
        for number, matrix in enumerate(dense)
    ]
    async with calling(address) as stub:
        rounds = [(await _ingest_rate(stub, made, m), _append_rate(made)) for m in _PACE]
        live = _bytes_of(behind, f"window:{window_id(NOON)}*", "panes", "latest*")
        error = await _largest_error(stub, np.concatenate(dense))
        await report(stub, NOON)
        await asyncio.to_thread(_await_summary, behind)
        closed = _bytes_of(behind, f"window:{window_id(NOON)}*")
        await _hold(str(behind.connection_pool.connection_kwargs["path"]), quick)
        _say(f"{MODELS} models: {behind.info('memory')['used_memory'] / 2**20:.0f} MiB")
        compare, first, next_hour = await _compare_milliseconds(stub)
    return {
        "ingest_pairs_per_s": round(statistics.median(rate for rate, _ in rounds)),
        "ingest_vs_numpy_append": round(statistics.median(r / a for r, a in rounds), 3),
        "step_speedup_vs_recompute": round(_step_speedup(10 if quick else 50), 1),
        "compare_ms": round(compare, 1),
        "compare_first_ms": round(first, 1),
        "compare_next_hour_ms": round(next_hour, 1),
        "redis_bytes_live": live,
        "redis_bytes_closed": closed,
        "models": MODELS,
        "gfi_max_relative_error": float(f"{error:.2e}"),
    }


def _sketch(seed: int) -> Sketch:
    """Return what a batch's normal numbers look like, of every second example."""
    rng = np.random.default_rng([seed, 1])
    values = rng.normal(0, 3, (BLOCK_EXAMPLES, FEATURES)) * (
        rng.random((BLOCK_EXAMPLES, FEATURES)) < COVERAGE
    )
    return numeric_sketch(values.astype(np.float32), np.full(BLOCK_EXAMPLES, 0.5, np.float32))


async def _ingest_rate(stub: Client, made: Sequence[Block], model: str) -> float:
    """Return the (example, feature) pairs per second that one pipeline gets in."""
    blocks = [block_message(replace(each, model=model)) for each in made]
    registered = replace(checkpoint(FEATURES), model=model)
    await ingest(stub, [], registered)
    start = time.perf_counter()
    answers = await ingest(stub, blocks, registered)
    seconds = time.perf_counter() - start
    assert all(answer.HasField("receipt") for answer in answers)
    _say(f"ingest: {seconds:.2f} s")
    return EXAMPLES * FEATURES / seconds


def _append_rate(blocks: Sequence[Block]) -> float:
    """Return the pairs per second at which NumPy appends the same values and places."""
    start = time.perf_counter()
    values, indices = np.zeros(0, np.float32), np.zeros(0, np.uint32)
    for each in blocks:
        values, indices = np.append(values, each.values), np.append(indices, each.indices)
    return EXAMPLES * FEATURES / (time.perf_counter() - start)


def _step_speedup(steps: int) -> float:
    """Return how much sooner a step's importances are there than with NumPy from all panes.

    NumPy gets the panes' values feature by feature and sorts each column: what would be done
    without the sliding window. Both answers must be the same.
    """
    held = EXAMPLES // PANE_EXAMPLES
    panes = [
        block(lfis(n, PANE_EXAMPLES, _SCALES, COVERAGE), population=list(Population)[n % 2]).pane
        for n in range(held + steps)
    ]
    window, speedups = SlidingWindow(FEATURES), []
    for number, pane in enumerate(panes, start=1):
        start = time.perf_counter()
        window.enter(number, pane)
        if number <= held:
            continue
        window.leave(number - held)
        found, _ = window.importances()
        middle = time.perf_counter()
        expected, _ = importances(
            gather(panes[number - EXAMPLES // PANE_EXAMPLES : number], FEATURES)
        )
        speedups.append((time.perf_counter() - middle) / (middle - start))
        assert found.tolist() == expected.tolist()
    _say(f"sliding: {min(speedups):.1f} to {max(speedups):.1f} times")
    return statistics.median(speedups)


async def _largest_error(stub: Client, dense: NDArray[np.float32]) -> float:
    """Return the largest relative error of an importance against equation 4 in float64."""
    answer = await stub.GetGfi(pb.GetGfiRequest(window=NOON_NAME), timeout=TIMEOUT)
    errors = []
    for importance in answer.importances:
        column = np.abs(dense[:, int(importance.feature[1:])].astype(np.float64))
        present = column[column > 0]
        exact = len(present) / len(column) * float(np.median(present))
        errors.append(abs(importance.gfi - exact) / exact)
    return max(errors)


async def _hold(socket: str, quick: bool) -> None:
    """Store what many models leave: closed windows, and one that takes examples."""
    day = [NOON - n * HOUR for n in range(1, 25 if not quick else 7)]
    live = block(lfis(1, BLOCK_EXAMPLES if quick else 5 * BLOCK_EXAMPLES, _SCALES, COVERAGE))
    older = block(lfis(2, 2, _SCALES, 1.0))
    async with connect(f"unix://{socket}") as client:
        store = RedisStore(client)
        await Healthy(np.array(_SCALES)).hold(store, _COMPARED, block(lfis(3, 200, _SCALES)))
        for number in range(MODELS):
            model = f"{MODEL}_{number}"
            await store.checkpoints.register(replace(checkpoint(FEATURES), model=model))
            for start in reversed(day):
                past = replace(older, model=model, event_time=start)
                await _close(store, past, _summary(number, start))
            await store.intake.append(replace(live, model=model), hour_of(NOON))


def _summary(seed: int, start: datetime) -> Summary:
    gfi = np.random.default_rng([seed, start.hour]).normal(_SCALES, 1e-3)
    every = np.ones(FEATURES)
    return Summary(5000, 5000, np.abs(gfi), COVERAGE * every, 1e-3 * every)


async def _close(store: RedisStore, made: Block, summary: Summary) -> None:
    await store.intake.append(made, hour_of(made.event_time))
    window = await store.windows.window(made.model, made.event_time)
    assert await store.keeper("bench").close(window, summary)


async def _compare_milliseconds(stub: Client) -> tuple[float, float, float]:
    """Return how long comparisons take: any but the first, the first, one of the next hour."""
    first, others, next_hour = [], [], []
    for model in _COMPARED:
        hours = (NOON - 2 * HOUR, *[NOON - HOUR] * 20)
        taken = [await _comparison(stub, model, hour) for hour in hours]
        first.append(taken[0])
        next_hour.append(taken[1])
        others += taken[2:]
    _say(f"comparisons: {max(first):.0f} ms, then {min(others):.0f} to {max(others):.0f}")
    return statistics.median(others), statistics.median(first), statistics.median(next_hour)


async def _comparison(stub: Client, model: str, hour: datetime) -> float:
    name = f"models/{model}/windows/{window_id(hour)}"
    start = time.perf_counter()
    answer = await stub.CompareWindows(pb.CompareWindowsRequest(anomaly=name), timeout=TIMEOUT)
    milliseconds = 1000 * (time.perf_counter() - start)
    assert (answer.comparison.history_count, len(answer.comparison.shifts)) == (48, 30)
    return milliseconds


def _await_summary(behind: redis.Redis) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not behind.exists(f"as:{{{MODEL}}}:window:{window_id(NOON)}:summary"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _bytes_of(behind: redis.Redis, *patterns: str) -> int:
    """Return what Valkey counts for the model's keys of these names."""
    keys = {key for each in patterns for key in behind.scan_iter(f"as:{{{MODEL}}}:{each}")}
    sizes: list[Any] = [behind.memory_usage(key, samples=0) for key in keys]
    return sum(sizes)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
