"""Brute force finds small errors of a compilation, and no fault in float32's own."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.checkpoint import Schema
from services.attribution.domain.example import Examples
from services.attribution.domain.probe import CORRUPTED, probe_examples
from services.attribution.engine.compiler import compiled
from services.attribution.engine.double import in_double, widened
from services.attribution.engine.graph import lowered
from services.attribution.engine.joins import JOINS, Site
from services.attribution.engine.ownership import Own
from services.attribution.engine.structure import Delta
from services.attribution.load import check_rows_independent
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES, RawDeepFm
from tests.unit.services.attribution.engine.exporting import (
    brute_force,
    checkpoint_of,
    exported,
    seeded,
)
from tests.unit.services.attribution.engine.vectors import Counts, make_schema

SCHEMA = make_schema()
A_LITTLE = 1.001


def _ordinary(schema: Schema, count: int) -> Examples:
    return probe_examples(schema, count + CORRUPTED, seed=3).part(0, count)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("counts", [Counts(), Counts(3, 0, 0, 0, 3, 3)])
def test_a_machine_on_raw_words_is_served(counts: Counts, seed: int) -> None:
    schema = make_schema(counts)
    module = seeded(RawDeepFm, schema, seed)
    program, checkpoint = exported(module, schema), checkpoint_of(schema)
    check_rows_independent(TorchPredictor(checkpoint, program))
    made = compiled(program, checkpoint)
    assert made.explanation.distrusted is None
    examples = _ordinary(schema, 50)
    logits, deltas = brute_force(module, examples)
    scale = max(1.0, float(np.abs(logits).max()), float(np.abs(deltas).max()))
    assert np.abs(made.ablate(examples).dense() - deltas).max() <= 1e-5 * scale


def _off_by_a_little(right: Callable[[Site], Delta]) -> Callable[[Site], Delta]:
    def wrong(site: Site) -> Delta:
        delta = right(site)
        terms = tuple(replace(t, amounts=t.amounts * A_LITTLE) for t in delta.terms)
        own = delta.own and Own(delta.own.layout, [v * A_LITTLE for v in delta.own.values])
        return replace(delta, terms=terms, own=own)

    return wrong


@pytest.mark.parametrize(
    ("architecture", "rule"),
    [(RawDeepFm, "sum"), (ARCHITECTURES["concat"], "linear"), (ARCHITECTURES["dlrm"], "bmm")],
)
def test_a_rule_that_is_off_by_a_thousandth_is_not_used(
    architecture: Callable[[Schema], nn.Module], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(JOINS, rule, _off_by_a_little(JOINS[rule]))
    module = seeded(architecture, SCHEMA)
    made = compiled(exported(module, SCHEMA), checkpoint_of(SCHEMA))
    assert made.explanation.distrusted is not None
    assert "differ from brute force" in made.explanation.distrusted
    examples = _ordinary(SCHEMA, 20)
    logits, deltas = brute_force(module, examples)
    scale = max(1.0, float(np.abs(logits).max()), float(np.abs(deltas).max()))
    assert np.abs(made.ablate(examples).dense() - deltas).max() <= 1e-5 * scale


@pytest.mark.parametrize("name", ["norm", "dlrm", "attention", "transformer", "probability"])
def test_a_graph_in_double_answers_what_the_model_does_in_float64(name: str) -> None:
    module = seeded(ARCHITECTURES[name], SCHEMA)
    examples = _ordinary(SCHEMA, 20)
    graph = in_double(lowered(exported(module, SCHEMA)))
    with torch.inference_mode():
        arguments = widened([torch.from_numpy(a) for a in examples.arguments()])
        answer = graph.run(arguments)[graph.output]
    wanted, _ = brute_force(module, examples, features=[0])
    np.testing.assert_allclose(answer.numpy(), wanted, rtol=0, atol=1e-12)
