"""The engine against brute force in float64, over every usual architecture."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from services.attribution.domain.checkpoint import Output
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import AblationProgram
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.architectures import (
    ARCHITECTURES,
    brute_force,
    checkpoint_of,
    exported,
    make_schema,
    seeded,
)

SCHEMA = make_schema()
TOLERANCE = 1e-5


@cache
def _built(name: str) -> tuple[nn.Module, AblationProgram, Output]:
    torch.set_num_threads(1)
    module = seeded(ARCHITECTURES[name], SCHEMA)
    output = Output.PROBABILITY if name == "probability" else Output.LOGIT
    checkpoint = checkpoint_of(SCHEMA, output)
    return module, compiled(exported(module, SCHEMA), checkpoint), output


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_deltas_equal_brute_force_in_float64(name: str) -> None:
    module, program, output = _built(name)
    examples = random_examples(SCHEMA, 29, seed=1)
    logits, deltas = brute_force(module, examples, output)
    answer = program.ablate(examples)
    scale = max(1.0, float(np.abs(deltas).max()))
    assert np.abs(answer.logits - logits).max() <= TOLERANCE * scale
    assert np.abs(answer.dense() - deltas).max() <= TOLERANCE * scale


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_zero_means_no_effect(name: str) -> None:
    module, program, output = _built(name)
    examples = random_examples(SCHEMA, 101, seed=2, absent=0.5)
    _, deltas = brute_force(module, examples, output)
    np.testing.assert_array_equal(program.ablate(examples).dense() != 0, np.abs(deltas) > 1e-12)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("size", [1, 7, 29, 101])
def test_coverage_does_not_depend_on_size_or_order(name: str, size: int) -> None:
    _, program, _ = _built(name)
    examples = random_examples(SCHEMA, 202, seed=3, absent=0.5)
    whole = program.ablate(examples).dense() != 0
    order = np.random.default_rng(size).permutation(examples.count)
    for start in range(0, examples.count, max(size, 29)):
        rows = order[start : start + size]
        part = program.ablate(examples.take(rows)).dense() != 0
        np.testing.assert_array_equal(part, whole[rows])
