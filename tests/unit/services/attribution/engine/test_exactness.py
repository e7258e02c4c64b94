"""The engine against brute force in float64, over every usual architecture."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from services.attribution.domain.checkpoint import Output
from services.attribution.domain.lfi import LfiMethod, attribute, pseudo_loss, relative
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import AblationProgram, Limits
from tests.checkpoints import grouped, random_examples
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES, Model
from tests.unit.services.attribution.engine.exporting import (
    brute_force,
    checkpoint_of,
    exported,
    seeded,
)
from tests.unit.services.attribution.engine.vectors import GROUPS, make_schema

SCHEMA = make_schema()
SCHEMAS = {"single": SCHEMA, "groups": grouped(SCHEMA, GROUPS)}
TOLERANCE = 1e-5
"""Of a logit delta, relative to the largest logit or delta (or to 1)."""


@cache
def _built(
    name: str, columns: str = "single", limits: Limits | None = None
) -> tuple[nn.Module, AblationProgram, Output]:
    schema = SCHEMAS[columns]
    module = seeded(ARCHITECTURES[name], schema)
    output = Output.PROBABILITY if name == "probability" else Output.LOGIT
    return module, compiled(exported(module, schema), checkpoint_of(schema, output), limits), output


@pytest.mark.parametrize("columns", SCHEMAS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_deltas_equal_brute_force_in_float64(name: str, columns: str) -> None:
    module, program, output = _built(name, columns)
    examples = random_examples(SCHEMAS[columns], 101, seed=1, absent=0.5)
    logits, deltas = brute_force(module, examples, output)
    answer = program.ablate(examples)
    scale = max(1.0, float(np.abs(logits).max()), float(np.abs(deltas).max()))
    assert np.abs(answer.logits - logits).max() <= TOLERANCE * scale
    assert np.abs(answer.dense() - deltas).max() <= TOLERANCE * scale


@pytest.mark.parametrize("method", LfiMethod)
@pytest.mark.parametrize("name", ["concat", "norm", "dlrm", "dcn_parallel", "opaque"])
def test_importances_equal_brute_force(name: str, method: LfiMethod) -> None:
    module, program, output = _built(name)
    examples = random_examples(SCHEMA, 29, seed=1)
    logits, deltas = brute_force(module, examples, output)
    every = np.repeat(logits[:, np.newaxis], deltas.shape[1], axis=1)
    equation = (
        pseudo_loss(every, deltas, 0.5)
        if method is LfiMethod.PSEUDO_LOSS
        else relative(every, deltas)
    )
    wanted = np.where(np.abs(deltas) > 1e-12, equation, 0.0)
    got = attribute(program.ablate(examples), method, 0.5).dense()
    np.testing.assert_allclose(got, wanted, atol=2 * TOLERANCE)


@pytest.mark.parametrize("columns", SCHEMAS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_zero_means_no_effect(name: str, columns: str) -> None:
    module, program, output = _built(name, columns)
    examples = random_examples(SCHEMAS[columns], 101, seed=2, absent=0.5)
    _, deltas = brute_force(module, examples, output)
    np.testing.assert_array_equal(program.ablate(examples).dense() != 0, np.abs(deltas) > 1e-12)


@pytest.mark.parametrize("columns", SCHEMAS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_coverage_depends_on_neither_batch_nor_order_nor_limits(name: str, columns: str) -> None:
    _, program, _ = _built(name, columns)
    _, other, _ = _built(name, columns, Limits(workers=2, block_rows=33, chunk_pairs=64))
    examples = random_examples(SCHEMAS[columns], 613, seed=3, absent=0.5)
    whole = program.ablate(examples).dense() != 0
    np.testing.assert_array_equal(other.ablate(examples).dense() != 0, whole)
    order = np.random.default_rng(0).permutation(examples.count)
    for size in (1, 7, 29, 101, 512):
        rows = order[size : 2 * size]
        some = program.ablate(examples.take(rows)).dense() != 0
        np.testing.assert_array_equal(some, whole[rows])


def test_features_that_decode_to_nothing_are_covered_by_nothing() -> None:
    module, program, _ = _built("norm_dcn")
    examples = random_examples(SCHEMA, 8, seed=5)
    examples.arrays["x0"][...] = np.int64(0x7E007E007E007E00)  # four NaN of float16
    assert examples.present(SCHEMA.features[-1]).all()
    assert (program.ablate(examples).dense()[:, -1] == 0).all()
    del module


def test_a_batch_of_absent_features_has_no_effects() -> None:
    _, program, _ = _built("dlrm")
    assert len(program.ablate(random_examples(SCHEMA, 5, absent=1.0)).deltas) == 0


class _Deep(Model):
    """Residual layers, each of which takes the one before twice."""

    def build(self) -> None:
        self.layers = nn.ModuleList(nn.Linear(self.total, self.total) for _ in range(24))
        self.last = nn.Linear(self.total, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        hidden = self.side_by_side(*inputs)
        for layer in self.layers:
            hidden = hidden + torch.tanh(layer(hidden))
        last: Tensor = self.last(hidden)
        return last.squeeze(-1)


def test_a_deep_model_of_one_group_takes_each_step_once() -> None:
    schema = grouped(SCHEMA, {"all": list(SCHEMA.index)})
    module = seeded(_Deep, schema)
    program = compiled(exported(module, schema), checkpoint_of(schema))
    examples = random_examples(schema, 7, seed=1, absent=0.5)
    logits, deltas = brute_force(module, examples)
    answer = program.ablate(examples)
    scale = max(1.0, float(np.abs(logits).max()), float(np.abs(deltas).max()))
    assert np.abs(answer.dense() - deltas).max() <= TOLERANCE * scale
