"""Benchmarks the O(1) bootstrap of importances against drawing resamples one by one.

Both start from one feature's LFIs in a window of 10,000 examples, interleaved in one process. How
far their standard errors differ is printed too.

    python -m tests.bench.attribution.bootstrap [--quick]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.bootstrap import resampled_importances
from services.aggregator.domain.gfi import Column, Weights

EXAMPLES = 10_000
RESAMPLES = 1000
COVERAGE = 0.5


def main() -> None:
    """Measure and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="three rounds instead of 15")
    print(json.dumps(measured(3 if parser.parse_args().quick else 15)))


def measured(rounds: int) -> dict[str, float]:
    """Measure so many rounds."""
    ratios, differences = zip(*map(bootstrap_speedup, range(rounds)), strict=True)
    print(
        f"{RESAMPLES} resamples of {EXAMPLES} examples, coverage {COVERAGE}, {rounds} rounds: "
        f"speed-up {min(ratios):.0f} to {max(ratios):.0f}, mean difference of standard errors "
        f"{statistics.mean(differences):+.1%}"
    )
    return {"bootstrap_speedup": round(statistics.median(ratios), 1)}


def bootstrap_speedup(seed: int) -> tuple[float, float]:
    """Return brute force's CPU time over the O(1) bootstrap's, and how far their errors differ."""
    rng = np.random.default_rng(seed)
    present = rng.random(EXAMPLES) < COVERAGE
    values = (np.abs(rng.standard_normal(EXAMPLES)) * present).astype(np.float32)

    def at_once() -> float:
        keys = np.sort(values[values != 0]).view(np.uint32) << np.uint32(1)
        column = Column(keys, Weights(EXAMPLES, 0))
        return float(resampled_importances(column, RESAMPLES, rng).std(ddof=1))

    def one_by_one() -> float:
        draws = [_importance(rng.choice(values, EXAMPLES)) for _ in range(RESAMPLES)]
        return float(np.std(draws, ddof=1))

    at_once()
    fast, fast_error = _timed(at_once)
    slow, slow_error = _timed(one_by_one)
    return slow / fast, fast_error / slow_error - 1


def _importance(values: NDArray[np.float32]) -> float:
    entries = values[values != 0]
    return len(entries) / len(values) * float(np.median(entries))


def _timed(work: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    answer = work()
    return time.process_time() - start, answer


if __name__ == "__main__":
    main()
