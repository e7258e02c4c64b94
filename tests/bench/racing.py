"""Benchmarks races for the K most important features against ablating all of them.

The model's features matter as those of trained models do: by factors that are log-normal, so that
few matter much. Its LFIs are raced over in many random orders; in the full run the engine itself
races too, interleaved with ablating everything. Prints one JSON object last:

    pairs_saved     pairs that ablating everything takes over those that races took
    top_k_matched   share of races that put out none of the full answer's K, and that found exactly
                    these where they were settled; it has to be `confidence` at least
    settled         share of races that were
    speedup         CPU time of ablating everything over that of a race, all included

    python -m tests.bench.racing [--quick]
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from services.attribution.domain.checkpoint import Schema
from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod
from services.attribution.domain.racing import Race, Racing
from services.attribution.engine.compiler import compiled
from services.attribution.explain import Explain
from services.attribution.race import RaceOn
from tests.bench.models import Wide
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.architectures import (
    Counts,
    checkpoint_of,
    exported,
    make_schema,
    seeded,
)
from tests.unit.services.attribution.races import full_gfi, is_right, run

RULE = Racing(top_k=10, confidence=0.95)
BATCH = 512
_SPREAD = 1.5
"""Standard deviation of the logarithm of how much features matter."""


class Skewed(Wide):
    """The wide model, with features that matter by unequal factors."""

    factors: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema)
        spread = torch.exp(_SPREAD * torch.randn(len(schema.features)))
        width, numeric = self.width, self.vectors.numeric
        columns = torch.cat([spread[:numeric], spread[numeric:].repeat_interleave(width)])
        self.register_buffer("factors", columns)

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        return super().side_by_side(*inputs) * self.factors


def main() -> None:
    """Measure and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="63 features instead of 300")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    counts = Counts(20, 25, 8, 4, 3, 3) if quick else Counts(90, 120, 45, 15, 15, 15)
    schema = make_schema(counts)
    program = compiled(exported(seeded(Skewed, schema), schema), checkpoint_of(schema))
    explain = Explain(program, LfiMethod.PSEUDO_LOSS)
    examples = random_examples(schema, 4096 if quick else 10_000, absent=0.5)
    result = _races(explain(examples).dense().astype(np.float32), 10 if quick else 100)
    if not quick:
        result["speedup"] = _speedup(explain, examples)
    print(json.dumps({"racing": {"confidence": RULE.confidence, **result}}))


def _races(lfis: np.ndarray[tuple[int, int], np.dtype[np.float32]], races: int) -> dict[str, float]:
    """Race over known LFIs in random orders."""
    gfi, present = full_gfi(lfis), np.count_nonzero(lfis)
    ablated, matched, settled = [], [], []
    for seed in range(races):
        order = np.random.default_rng(seed).permutation(len(lfis))
        standing = run(lfis[order], RULE, BATCH)
        ablated.append(standing.pairs_ablated)
        matched.append(is_right(standing, gfi, RULE.top_k))
        settled.append(standing.is_settled)
    return {
        "pairs_saved": round(float(present / statistics.mean(ablated)), 2),
        "top_k_matched": statistics.mean(map(float, matched)),
        "settled": statistics.mean(map(float, settled)),
    }


def _speedup(explain: Explain, examples: Examples) -> float:
    batches = [examples.part(s, s + BATCH) for s in range(0, examples.count, BATCH)]

    def race() -> None:
        race_on = RaceOn(explain, Race(RULE, len(examples.schema.features)))
        for batch in batches:
            race_on(batch, batch.present_counts())

    def everything() -> None:
        for batch in batches:
            explain(batch)

    ratios = [_cpu_seconds(everything) / _cpu_seconds(race) for _ in range(5)]
    return round(statistics.median(ratios), 2)


def _cpu_seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
