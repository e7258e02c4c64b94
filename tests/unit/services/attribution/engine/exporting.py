"""Models with seeded weights, as programs and checkpoints, and what brute force says of them."""

import copy
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import ExportedProgram

from services.attribution.domain.checkpoint import (
    Checkpoint,
    Output,
    Schema,
)
from services.attribution.domain.example import Examples


def seeded(architecture: Callable[[Schema], nn.Module], schema: Schema, seed: int = 0) -> nn.Module:
    """Return a model with seeded weights, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return architecture(schema).eval()


def exported(module: nn.Module, schema: Schema) -> ExportedProgram:
    """Export with a dynamic batch dimension."""
    row = schema.baseline_row()
    arguments = tuple(torch.from_numpy(np.stack([row[s.name]] * 4)) for s in schema.inputs)
    batch = torch.export.Dim("batch")
    shapes = (tuple({0: batch} for _ in arguments),)
    with torch.no_grad():
        return torch.export.export(module, arguments, dynamic_shapes=shapes)


def checkpoint_of(schema: Schema, output: Output = Output.LOGIT) -> Checkpoint:
    """Return a checkpoint that says little more than its schema."""
    trained = datetime(2026, 11, 20, tzinfo=UTC)
    return Checkpoint("ads_ctr", "1", trained, output, 0.5, schema, "0" * 64)


def brute_force(
    module: nn.Module,
    examples: Examples,
    output: Output = Output.LOGIT,
    features: Iterable[int] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logits [N] and their deltas [N, M], computed in float64, one feature a time.

    `features` are positions in the schema; None: all.
    """
    precise = copy.deepcopy(module).double()

    def logits(some: Examples) -> NDArray[np.float64]:
        arguments = [torch.from_numpy(a) for a in some.arguments()]
        doubled = [a.double() if a.is_floating_point() else a for a in arguments]
        with torch.no_grad():
            answer = precise(*doubled)
        return np.asarray((torch.logit(answer) if output is Output.PROBABILITY else answer).numpy())

    before = logits(examples)
    everything = examples.schema.features
    wanted = [everything[j] for j in (range(len(everything)) if features is None else features)]
    return before, np.stack([logits(examples.ablated([f])) - before for f in wanted], axis=1)
