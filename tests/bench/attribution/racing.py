"""Benchmarks races for the K most important features against ablating all of them.

The model's features matter as those of trained models do: by factors that are log-normal, so that
few matter much. Its LFIs are raced over in many random orders: for the first ten, the last of which
has `close` rivals, and for the K up to ten whose K-th feature is furthest `apart` from the next. In
the full run the engine itself races too, for the first ten, interleaved with ablating everything.
Prints one JSON object last, with for each of the two:

    gap             GFI of the K-th feature over that of the next
    pairs_saved     pairs that ablating everything takes over those that races took
    top_k_matched   share of races the first K of which are those of the full answer
    promise_kept    share of races that put out none of the full answer's K, and that found exactly
                    these where they were settled; it has to be `confidence` at least
    settled         share of races that were

and `speedup`, the CPU time of ablating everything over that of a race, all included.

    python -m tests.bench.attribution.racing [--quick]
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
from tests.bench.attribution.models import Wide
from tests.bench.attribution.prepared import Measure
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.exporting import checkpoint_of, exported, seeded
from tests.unit.services.attribution.engine.vectors import Counts, make_schema
from tests.unit.services.attribution.races import Matrix, first, full_gfi, is_right, run

TOP_K = 10
CONFIDENCE = 0.95
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
    is_quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with prepared(is_quick) as measure:
        print(json.dumps(measure()))


@contextmanager
def prepared(is_quick: bool) -> Iterator[Measure]:
    """Race over the LFIs of a model; yield how to measure what takes time."""
    counts = Counts(20, 25, 8, 4, 3, 3) if is_quick else Counts(90, 120, 45, 15, 15, 15)
    schema = make_schema(counts)
    program = compiled(exported(seeded(Skewed, schema), schema), checkpoint_of(schema))
    explain = Explain(program, LfiMethod.PSEUDO_LOSS)
    examples = random_examples(schema, 4096 if is_quick else 10_000, absent=0.5)
    lfis = explain(examples).dense().astype(np.float32)
    races = 10 if is_quick else 40
    result = {
        "confidence": CONFIDENCE,
        "close": _races(lfis, TOP_K, races),
        "apart": _races(lfis, _k_of_widest_gap(lfis), races),
    }
    yield lambda: {
        "racing": result if is_quick else result | {"speedup": _speedup(explain, examples)}
    }


def _k_of_widest_gap(lfis: Matrix) -> int:
    """Return the K up to TOP_K whose K-th feature is the most times as important as the next."""
    descending = np.sort(full_gfi(lfis))[::-1]
    return 1 + int(np.argmax(descending[:TOP_K] / descending[1 : TOP_K + 1]))


def _races(lfis: Matrix, top_k: int, races: int) -> dict[str, float]:
    """Race over known LFIs in random orders."""
    rule = Racing(top_k, CONFIDENCE)
    gfi, present = full_gfi(lfis), np.count_nonzero(lfis)
    descending = np.sort(gfi)[::-1]
    wanted = set(np.argsort(-gfi)[:top_k].tolist())
    ablated, matched, kept, settled = [], [], [], []
    for seed in range(races):
        order = np.random.default_rng(seed).permutation(len(lfis))
        standing = run(lfis[order], rule, BATCH)
        ablated.append(standing.pairs_ablated)
        matched.append(first(standing, top_k) == wanted)
        kept.append(is_right(standing, gfi, top_k))
        settled.append(standing.is_settled)
    return {
        "top_k": top_k,
        "gap": round(float(descending[top_k - 1] / descending[top_k]), 3),
        "pairs_saved": round(float(present / statistics.mean(ablated)), 2),
        "top_k_matched": statistics.mean(map(float, matched)),
        "promise_kept": statistics.mean(map(float, kept)),
        "settled": statistics.mean(map(float, settled)),
    }


def _speedup(explain: Explain, examples: Examples) -> float:
    batches = [examples.part(s, s + BATCH) for s in range(0, examples.count, BATCH)]

    def race() -> None:
        race_on = RaceOn(explain, Race(Racing(TOP_K, CONFIDENCE), len(examples.schema.features)))
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
