"""Benchmarks the ablation engine against Captum's FeatureAblation, interleaved in one process.

Every figure includes preparation: the engine is given NumPy arrays and answers sparse deltas.
Captum gets a share of the features, extrapolated to all of them (it runs the whole model once for
each), at the batch size that suits it best. Ratios of CPU and wall time are printed; absolute times
depend on who shares the machine. The metric of accuracy is the largest error of a logit delta over
the largest logit or delta (or 1), against brute force in float64.

The quick run has 256 examples instead of 1,024 and two rounds instead of five, and lets Captum
ablate one feature instead of three: half-sized blocks cost the engine up to a third.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import FeatureAblation
from torch import Tensor, nn

from services.attribution.domain.ablation import Ablations
from services.attribution.domain.checkpoint import Schema
from services.attribution.domain.example import Examples
from services.attribution.engine import costs
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import AblationProgram, Limits
from tests.bench.attribution.models import MODELS
from tests.bench.attribution.prepared import Measure, Result
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.exporting import (
    brute_force,
    checkpoint_of,
    exported,
    seeded,
)

CAPTUM_BATCH = 512
COVERAGE = 0.5
WARMING_UP = 64
ACCURACY_FEATURES = 20


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    examples: int
    rounds: int
    captum_features: int


FULL = Size(examples=1024, rounds=5, captum_features=3)
QUICK = Size(examples=256, rounds=2, captum_features=1)


@dataclass(frozen=True)
class Timed:
    """What one run took, in seconds."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Subject:
    """A model in both forms."""

    name: str
    module: nn.Module
    schema: Schema
    program: AblationProgram


@contextmanager
def prepared(name: str, is_quick: bool) -> Iterator[Measure]:
    """Export and compile a model; yield how to measure it."""
    subject = _subject(name, os.cpu_count() or 1)
    yield lambda: _measured(subject, QUICK if is_quick else FULL)


def _subject(name: str, workers: int) -> Subject:
    architecture, schema = MODELS[name]
    module = seeded(architecture, schema)
    start = time.perf_counter()
    program = exported(module, schema)
    middle = time.perf_counter()
    made = compiled(program, checkpoint_of(schema), Limits(workers=workers))
    end = time.perf_counter()
    took = f"{name}: export {middle - start:.1f} s, compile {end - middle:.1f} s"
    print(f"{took}\n{made.explanation.text()}", flush=True)
    return Subject(name, module, schema, made)


def _measured(subject: Subject, size: Size) -> Result:
    half = random_examples(subject.schema, size.examples, absent=1 - COVERAGE)
    full = random_examples(subject.schema, size.examples // 2, absent=0.0)
    batch = random_examples(subject.schema, CAPTUM_BATCH, absent=1 - COVERAGE)
    subject.program.ablate(half.part(0, WARMING_UP))
    rounds, no_skip = [], []
    for k in range(size.rounds):
        captum = _captum_per_pair(subject, batch, size.captum_features)
        engine, coverage = _engine_per_pair(subject, half)
        rounds.append((captum, engine))
        if k % 2 == 0:
            no_skip.append(captum.cpu / _engine_per_pair(subject, full)[0].cpu)
    error, false_nonzero = _accuracy(subject)
    typical = statistics.median(e.cpu for _, e in rounds)
    return {
        "features": len(subject.schema.features),
        "coverage": round(coverage, 3),
        "speedup": _median(c.cpu / e.cpu for c, e in rounds),
        "speedup_wall": _median(c.wall / e.wall for c, e in rounds),
        "speedup_no_skip": _median(no_skip),
        "floor_fraction": round(_floor(subject, coverage) / typical, 2),
        "max_logit_error": float(f"{error:.2e}"),
        "false_nonzero": false_nonzero,
    }


def _median(ratios: Iterable[float]) -> float:
    return round(statistics.median(ratios), 1)


def _engine_per_pair(subject: Subject, examples: Examples) -> tuple[Timed, float]:
    """Return the engine's time for each of all pairs, present or not, and the coverage."""
    answers: list[Ablations] = []
    taken = _timed(lambda: answers.append(subject.program.ablate(examples)))
    pairs = examples.count * len(subject.schema.features)
    return Timed(taken.wall / pairs, taken.cpu / pairs), len(answers[0].deltas) / pairs


def _captum_per_pair(subject: Subject, examples: Examples, features: int) -> Timed:
    """Return Captum's time for each pair: that of a few features with inputs of their own.

    With one thread and with all, the better of each figure.
    """
    names = [s.name for s in subject.schema.inputs]
    own = [f.input for f in subject.schema.columns if f.column is None and not f.weights_input]
    some = own[:: max(1, len(own) // features)][:features]
    arguments = {n: torch.from_numpy(examples.arrays[n]) for n in names}

    def forward(*given: Tensor) -> Tensor:
        inputs = arguments | dict(zip(some, given, strict=True))
        answer: Tensor = subject.module(*[inputs[n] for n in names])
        return answer

    attributor = FeatureAblation(forward)
    inputs = tuple(arguments[n] for n in some)
    masks = tuple(torch.full((1, *a.shape[1:]), k) for k, a in enumerate(inputs))
    taken = []
    for threads in {1, os.cpu_count() or 1}:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            taken.append(_timed(lambda: attributor.attribute(inputs, feature_mask=masks)))
    forwards = (len(some) + 1) * examples.count
    return Timed(min(t.wall for t in taken) / forwards, min(t.cpu for t in taken) / forwards)


def _accuracy(subject: Subject) -> tuple[float, int]:
    """Return the relative error against float64 brute force, and how many zeros it denies."""
    torch.set_num_threads(1)
    count = len(subject.schema.features)
    examples = random_examples(subject.schema, 3, seed=9, absent=1 - COVERAGE)
    some = np.random.default_rng(0).choice(count, ACCURACY_FEATURES, replace=False)
    logits, deltas = brute_force(subject.module, examples, features=some)
    answer = subject.program.ablate(examples).dense()[:, some]
    scale = max(1.0, float(np.abs(logits).max()), float(np.abs(deltas).max()))
    false_nonzero = int(((np.abs(deltas) < 1e-13) & (answer != 0)).sum())
    return float(np.abs(answer - deltas).max()) / scale, false_nonzero


def _floor(subject: Subject, coverage: float) -> float:
    """Return the CPU time per pair if all arithmetic ran at the rate of a large product."""
    torch.set_num_threads(1)
    first, second = torch.randn(512, 512), torch.randn(512, 256)
    taken = min(_timed(lambda: [first @ second for _ in range(20)]).cpu for _ in range(3))
    rate = 20 * 2 * 512 * 512 * 256 / taken
    graph, features = subject.program.graph, len(subject.schema.features)
    pairs = sum(len(t.features) * costs.of_pair(t) for t in subject.program.trunks)
    return (costs.of_forward(graph) + coverage * pairs) / features / rate


def _timed(work: Callable[[], object]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu)
