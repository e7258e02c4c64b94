"""Architectures drawn at random from the usual blocks, against brute force."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from services.attribution.domain.checkpoint import Schema
from services.attribution.engine.compiler import compiled
from tests.checkpoints import grouped, random_examples
from tests.unit.services.attribution.engine.architectures import Cross, Model, mlp
from tests.unit.services.attribution.engine.exporting import (
    brute_force,
    checkpoint_of,
    exported,
    seeded,
)
from tests.unit.services.attribution.engine.vectors import Counts, make_schema

FRONTS = ("plain", "norm", "batch_norm", "dropout", "scaled", "clamped")
BRANCHES = ("mlp", "cross", "low_rank_cross", "dots", "machine", "mean", "gated", "residual")
ENDS = ("sum", "side_by_side", "product", "maximum")


class Drawn(Model):
    """A front, some branches on it, and how they end in a logit."""

    def __init__(self, schema: Schema, front: str, branches: list[str], end: str) -> None:
        self.front, self.branches, self.end = front, branches, end
        super().__init__(schema, width=4, widths=(8, 6))

    def build(self) -> None:
        size = self.total
        self.normed = nn.LayerNorm(size) if self.front == "norm" else nn.BatchNorm1d(size)
        self.crosses = nn.ModuleList(Cross(size, 2, rank) for rank in (0, 3))
        self.heads = nn.ModuleList(mlp(self._size(b), *self.widths) for b in self.branches)
        self.gate = nn.Linear(size, size)
        self.last = nn.Linear(self.widths[-1], 1)
        self.both = nn.Linear(self.widths[-1] * len(self.branches), 1)

    def _size(self, branch: str) -> int:
        count = self.vectors.count
        return {"dots": count * count, "machine": self.width, "mean": self.width}.get(
            branch, self.total
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        dense, vectors = self.vectors(*inputs)
        stacked = torch.stack(vectors, dim=1)
        side = torch.cat([stacked.flatten(1), dense], dim=1)
        side = self._fronted(side)
        branches = zip(self.branches, self.heads, strict=True)
        ends = [torch.relu(head(self._branch(name, side, stacked))) for name, head in branches]
        if self.end == "side_by_side":
            both: Tensor = self.both(torch.cat(ends, dim=1))
            return both.squeeze(-1)
        total = ends[0]
        for other in ends[1:]:
            if self.end == "sum":
                total = total + other
            elif self.end == "product":
                total = total * torch.sigmoid(other)
            else:
                total = torch.maximum(total, other)
        last: Tensor = self.last(total)
        return last.squeeze(-1)

    def _fronted(self, side: Tensor) -> Tensor:
        if self.front in ("norm", "batch_norm"):
            normed: Tensor = self.normed(side)
            return normed
        if self.front == "dropout":
            return nn.functional.dropout(side, 0.5, self.training)
        if self.front == "scaled":
            return side * 0.5 - 0.1
        return side.clamp(-1.5, 1.5) if self.front == "clamped" else side

    def _branch(self, name: str, side: Tensor, stacked: Tensor) -> Tensor:
        ways: dict[str, Callable[[], Tensor]] = {
            "cross": lambda: self.crosses[0](side),
            "low_rank_cross": lambda: self.crosses[1](side),
            "dots": lambda: torch.matmul(stacked, stacked.transpose(1, 2)).flatten(1),
            "machine": lambda: stacked.sum(1).square() - stacked.square().sum(1),
            "mean": lambda: stacked.mean(1),
            "gated": lambda: side * torch.sigmoid(self.gate(side)),
            "residual": lambda: side + torch.tanh(self.gate(side)),
        }
        return ways.get(name, lambda: side)()


def _schema(counts: Counts, mates: list[int]) -> Schema:
    """Return a schema in which columns with the same number, other than 0, are in a group."""
    schema = make_schema(counts)
    groups: dict[str, list[str]] = {}
    for column, mate in zip(schema.columns, mates, strict=False):
        if mate:
            groups.setdefault(f"group {mate}", []).append(column.name)
    return grouped(schema, groups)


COUNTS = st.builds(
    Counts,
    numeric=st.integers(1, 4),
    categorical=st.integers(1, 4),
    id_list=st.integers(0, 2),
    weighted=st.integers(0, 2),
    embedding=st.integers(0, 2),
    encoded=st.integers(0, 2),
)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    schema=st.builds(_schema, COUNTS, st.lists(st.integers(0, 4), min_size=16, max_size=16)),
    front=st.sampled_from(FRONTS),
    branches=st.lists(st.sampled_from(BRANCHES), min_size=1, max_size=3),
    end=st.sampled_from(ENDS),
    seed=st.integers(0, 1000),
)
def test_any_architecture_equals_brute_force(
    schema: Schema, front: str, branches: list[str], end: str, seed: int
) -> None:
    module = seeded(lambda s: Drawn(s, front, branches, end), schema, seed)
    program = compiled(exported(module, schema), checkpoint_of(schema))
    examples = random_examples(schema, 13, seed=seed)
    logits, deltas = brute_force(module, examples)
    answer = program.ablate(examples)
    scale = max(1.0, float(np.abs(logits).max()), float(np.abs(deltas).max()))
    assert program.explanation.distrusted is None
    assert np.abs(answer.dense() - deltas).max() <= 1e-5 * scale
    far_from_rounding = (np.abs(deltas) < 1e-13) | (np.abs(deltas) > 1e-9)
    same = (answer.dense() != 0) == (np.abs(deltas) > 1e-13)
    assert same[far_from_rounding].all()
