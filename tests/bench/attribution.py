"""Benchmarks the ablation engine against Captum's FeatureAblation, interleaved in one process.

Every figure includes preparation: the engine is given NumPy arrays and answers sparse deltas.
Captum gets a share of the features, extrapolated to all of them, at the batch size that suits it
best. Ratios of CPU and wall time are printed; absolute times depend on who shares the machine. The
metric of accuracy is the largest error of a logit delta over the largest logit or delta (or 1),
against brute force in float64.

    python -m tests.bench.attribution [--quick]

The quick run has 256 examples instead of 1,024, two rounds instead of five, and lets Captum ablate
two features instead of six: its ratios spread more, and half-sized blocks cost the engine up to a
third. `rpc_overhead` is measured on a model of a quarter of the features.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from subprocess import PIPE, Popen
from typing import Any

import numpy as np
import torch
from captum.attr import FeatureAblation
from torch import Tensor, nn

from services.attribution.domain.checkpoint import Schema
from services.attribution.domain.example import Examples
from services.attribution.engine import costs
from services.attribution.engine.certainty import sure
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import AblationProgram, Limits
from tests.bench.models import MODELS
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.architectures import (
    brute_force,
    checkpoint_of,
    exported,
    seeded,
)

CAPTUM_BATCH = 512
CAPTUM_FEATURES = 6
COVERAGE = 0.5
_READY = "ready to measure"


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


def main() -> None:
    """Measure every model and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a quarter of the work")
    parser.add_argument("--when-told", action="store_true", help="wait for a line, then measure")
    parser.add_argument("models", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    if arguments.when_told:
        _measure_when_told(arguments.models[0], arguments.quick)
        return
    answers = _measured_apart(arguments.models, arguments.quick)
    result: dict[str, Any] = {
        "coverage": round(statistics.mean(a["coverage"] for a in answers.values()), 3),
        "models": answers,
        "false_nonzero": sum(answer.pop("false_nonzero") for answer in answers.values()),
    }
    size = ["--quick"] if arguments.quick else []
    result |= _other("rpc_overhead", *size)
    with ThreadPoolExecutor() as side_by_side:
        # Neither measures wall time, and there is a core for each.
        racing = side_by_side.submit(_other, "racing", *size)
        result |= _other("bootstrap", "--quick")
        print(json.dumps(result | racing.result()))


def _measured_apart(models: Sequence[str], quick: bool) -> dict[str, Any]:
    """Measure each model in a process of its own: all prepare at once, one measures at a time."""
    command = [sys.executable, "-m", "tests.bench.attribution", "--when-told"]
    command += ["--quick"] if quick else []
    answers: dict[str, Any] = {}
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(Popen([*command, name], stdin=PIPE, stdout=PIPE, text=True))
            for name in models
        }
        for child in children.values():
            _echo_until(child, _READY)
        for name, child in children.items():
            answers[name] = json.loads(child.communicate("\n")[0])
            print(f"{name}: {answers[name]}", flush=True)
    return answers


def _echo_until(child: "Popen[str]", last: str) -> None:
    for line in sure(child.stdout):
        if line.strip() == last:
            return
        print(line, end="", flush=True)
    raise RuntimeError("a model was not prepared: what it printed says why")


def _measure_when_told(name: str, quick: bool) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    subject = _subject(name, os.cpu_count() or 1)
    print(_READY, flush=True)
    sys.stdin.readline()
    print(json.dumps(_measured(subject, quick)))


def _other(name: str, *arguments: str) -> dict[str, Any]:
    """Return the last line of another benchmark."""
    command = [sys.executable, "-m", f"tests.bench.{name}", *arguments]
    printed = subprocess.run(command, check=True, stdout=PIPE, text=True).stdout
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer


def _subject(name: str, workers: int) -> Subject:
    architecture, schema = MODELS[name]
    module = seeded(architecture, schema)
    start = time.perf_counter()
    program = exported(module, schema)
    middle = time.perf_counter()
    made = compiled(program, checkpoint_of(schema), Limits(workers=workers))
    end = time.perf_counter()
    print(f"{name}: export {middle - start:.1f} s, compile {end - middle:.1f} s", flush=True)
    print(made.explanation.text(), flush=True)
    return Subject(name, module, schema, made)


def _measured(subject: Subject, quick: bool) -> dict[str, Any]:
    count, features = (256, CAPTUM_FEATURES // 3) if quick else (1024, CAPTUM_FEATURES)
    half = random_examples(subject.schema, count, absent=1 - COVERAGE)
    full = random_examples(subject.schema, count // 2, absent=0.0)
    captum_examples = random_examples(subject.schema, CAPTUM_BATCH, absent=1 - COVERAGE)
    coverage = float(np.mean(subject.program.ablate(half).dense() != 0))
    rounds = []
    for _ in range(2 if quick else 5):
        captum = _captum_per_pair(subject, captum_examples, features)
        rounds.append((captum, _engine_per_pair(subject, half), _engine_per_pair(subject, full)))
    speedup_cpu = statistics.median(c.cpu / e.cpu for c, e, _ in rounds)
    speedup_wall = statistics.median(c.wall / e.wall for c, e, _ in rounds)
    no_skip = statistics.median(c.cpu / e.cpu for c, _, e in rounds)
    engine = statistics.median(e.cpu for _, e, _ in rounds)
    error, false_nonzero = _accuracy(subject)
    return {
        "features": len(subject.schema.features),
        "coverage": round(coverage, 3),
        "speedup": round(speedup_cpu, 1),
        "speedup_wall": round(speedup_wall, 1),
        "speedup_no_skip": round(no_skip, 1),
        "floor_fraction": round(_floor(subject, coverage) / engine, 2),
        "max_logit_error": float(f"{error:.2e}"),
        "false_nonzero": false_nonzero,
    }


def _engine_per_pair(subject: Subject, examples: Examples) -> Timed:
    """Return the engine's time for each of all pairs, present or not."""
    taken = _timed(lambda: subject.program.ablate(examples))
    pairs = examples.count * len(subject.schema.features)
    return Timed(taken.wall / pairs, taken.cpu / pairs)


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
    some = np.random.default_rng(0).choice(count, 40, replace=False)
    logits, deltas = brute_force(subject.module, examples, features=some)
    answer = subject.program.ablate(examples).dense()[:, some]
    scale = max(1.0, float(np.abs(logits).max()), float(np.abs(deltas).max()))
    false_nonzero = int(((np.abs(deltas) < 1e-13) & (answer != 0)).sum())
    return float(np.abs(answer - deltas).max()) / scale, false_nonzero


def _floor(subject: Subject, coverage: float) -> float:
    """Return the CPU time per pair if all arithmetic ran at the rate of a large product."""
    torch.set_num_threads(1)
    first, second = torch.randn(512, 512), torch.randn(512, 256)
    taken = min(_timed(lambda: [first @ second for _ in range(50)]).cpu for _ in range(3))
    rate = 50 * 2 * 512 * 512 * 256 / taken
    graph, features = subject.program.graph, len(subject.schema.features)
    pairs = sum(len(t.features) * costs.of_pair(t) for t in subject.program.trunks)
    return (costs.of_forward(graph) + coverage * pairs) / features / rate


def _timed(work: Callable[[], object]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main()
