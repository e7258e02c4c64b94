"""Click models of every usual architecture, over any number of features of all six kinds.

`make_schema` lays features out in packed and own inputs; `Vectors` turns them into one vector per
feature; the heads join the vectors. All in plain PyTorch as a modeller would write it.
"""

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import ExportedProgram

from services.attribution.domain.checkpoint import (
    Checkpoint,
    Feature,
    FeatureKind,
    InputSpec,
    Output,
    Schema,
)
from services.attribution.domain.example import Examples

CARDINALITY = 50
LENGTH = 5
DIMENSION = 8

F32, I64 = np.dtype(np.float32), np.dtype(np.int64)


@dataclass(frozen=True)
class Counts:
    """How many features of each kind a model has."""

    numeric: int = 3
    categorical: int = 3
    id_list: int = 2
    weighted: int = 1
    embedding: int = 1
    encoded: int = 1

    @property
    def total(self) -> int:
        return (
            self.numeric
            + self.categorical
            + self.id_list
            + self.weighted
            + self.embedding
            + self.encoded
        )


def make_schema(counts: Counts = Counts()) -> Schema:
    """Numeric and categorical features packed, the others with inputs of their own."""
    inputs: list[InputSpec] = []
    features: list[Feature] = []
    if counts.numeric:
        inputs.append(InputSpec("dense", F32, (counts.numeric,)))
    for j in range(counts.numeric):
        baseline = (0.0, -1.0, 0.5)[j % 3]
        features.append(Feature(f"n{j}", FeatureKind.NUMERIC, "dense", j, baseline=baseline))
    if counts.categorical:
        inputs.append(InputSpec("categories", I64, (counts.categorical,)))
    features += [
        Feature(f"c{j}", FeatureKind.CATEGORICAL, "categories", j, cardinality=CARDINALITY)
        for j in range(counts.categorical)
    ]
    for j in range(counts.id_list):
        inputs.append(InputSpec(f"l{j}", I64, (LENGTH,)))
        features.append(Feature(f"l{j}", FeatureKind.ID_LIST, f"l{j}", cardinality=CARDINALITY))
    for j in range(counts.weighted):
        inputs += [InputSpec(f"w{j}", I64, (LENGTH,)), InputSpec(f"w{j}_weights", F32, (LENGTH,))]
        kind = FeatureKind.WEIGHTED_ID_LIST
        features.append(
            Feature(f"w{j}", kind, f"w{j}", weights_input=f"w{j}_weights", cardinality=CARDINALITY)
        )
    for j in range(counts.embedding):
        inputs.append(InputSpec(f"e{j}", F32, (DIMENSION,)))
        features.append(Feature(f"e{j}", FeatureKind.EMBEDDING, f"e{j}"))
    for j in range(counts.encoded):
        inputs.append(InputSpec(f"x{j}", I64, (2,)))
        features.append(Feature(f"x{j}", FeatureKind.ENCODED_EMBEDDING, f"x{j}"))
    return Schema(tuple(inputs), tuple(features))


GROUPS = {"profile": ("n0", "n2", "c1"), "session": ("c0", "l0"), "media": ("w0", "x0")}
"""Of columns side by side and apart, of every kind; attention is within the second."""


class Vectors(nn.Module):
    """One vector of `width` for every feature that is not numeric, and the numeric ones as one."""

    def __init__(self, schema: Schema, width: int, *, shared: bool = False) -> None:
        super().__init__()
        self.schema = schema
        kinds = [f.kind for f in schema.columns]
        self.numeric = kinds.count(FeatureKind.NUMERIC)
        tabled = [f for f in schema.columns if f.kind.dtype == I64 and f.cardinality]
        table = nn.Embedding(CARDINALITY, width)
        self.tables = nn.ModuleDict(
            {f.name: table if shared else nn.Embedding(CARDINALITY, width) for f in tabled}
        )
        dense = [
            f
            for f in schema.columns
            if f.kind in (FeatureKind.EMBEDDING, FeatureKind.ENCODED_EMBEDDING)
        ]
        self.projections = nn.ModuleDict({f.name: nn.Linear(DIMENSION, width) for f in dense})

    @property
    def count(self) -> int:
        return len(self.schema.columns) - self.numeric

    def forward(self, *inputs: Tensor) -> tuple[Tensor | None, list[Tensor]]:
        """Return the numeric values [B, n], and the vectors [B, width] of the others."""
        by_name = dict(zip([s.name for s in self.schema.inputs], inputs, strict=True))
        vectors = [
            self._vector(f, by_name)
            for f in self.schema.columns
            if f.kind is not FeatureKind.NUMERIC
        ]
        return by_name.get("dense"), vectors

    def _vector(self, feature: Feature, inputs: Mapping[str, Tensor]) -> Tensor:
        values = inputs[feature.input]
        vector: Tensor
        match feature.kind:
            case FeatureKind.CATEGORICAL:
                assert feature.column is not None
                vector = self.tables[feature.name](values[:, feature.column])
            case FeatureKind.ID_LIST:
                used = (values != 0).unsqueeze(-1).to(torch.float32)
                total = (self.tables[feature.name](values) * used).sum(1)
                vector = total / used.sum(1).clamp(min=1)
            case FeatureKind.WEIGHTED_ID_LIST:
                assert feature.weights_input is not None
                weights = inputs[feature.weights_input].unsqueeze(-1)
                vector = (self.tables[feature.name](values) * weights).sum(1)
            case FeatureKind.EMBEDDING:
                vector = torch.relu(self.projections[feature.name](values))
            case _:
                projection = self.projections[feature.name]
                weight: Tensor = projection.weight  # type: ignore[assignment]
                decoded = values.view(torch.float16).to(weight.dtype)
                decoded = torch.nan_to_num(decoded, nan=0.0, posinf=0.0, neginf=0.0)
                vector = projection(decoded.clamp(-4, 4))
        return vector


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Model(nn.Module):
    """Vectors, then a head; `widths` are the hidden layers."""

    def __init__(
        self, schema: Schema, width: int = 8, widths: tuple[int, ...] = (16, 8), **options: bool
    ) -> None:
        super().__init__()
        self.vectors = Vectors(schema, width, **options)
        self.width = width
        self.total = self.vectors.count * width + self.vectors.numeric
        self.widths = widths
        self.build()

    def build(self) -> None:
        self.top = mlp(self.total, *self.widths, 1)

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        dense, vectors = self.vectors(*inputs)
        return torch.cat(vectors if dense is None else [dense, *vectors], dim=1)

    def forward(self, *inputs: Tensor) -> Tensor:
        top: Tensor = self.top(self.side_by_side(*inputs))
        return top.squeeze(-1)


class NormModel(Model):
    """LayerNorm between concatenation and MLP."""

    def build(self) -> None:
        self.norm = nn.LayerNorm(self.total)
        nn.init.normal_(self.norm.weight, 1.0, 0.2)
        nn.init.normal_(self.norm.bias, 0.0, 0.2)
        self.top = mlp(self.total, *self.widths, 1)

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        normed: Tensor = self.norm(super().side_by_side(*inputs))
        return normed


class BatchNormModel(Model):
    """Frozen batch normalisation before and inside the MLP."""

    def build(self) -> None:
        hidden = self.widths[0]
        self.norm = nn.BatchNorm1d(self.total)
        self.top = nn.Sequential(
            nn.Linear(self.total, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(hidden, 1),
        )  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0.0, 0.3)
                module.running_var.uniform_(0.5, 2.0)

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        normed: Tensor = self.norm(super().side_by_side(*inputs))
        return normed


class Dlrm(Model):
    """Bottom MLP over the numeric features, pairwise dots, top MLP."""

    def build(self) -> None:
        count = self.vectors.count + 1
        self.bottom = nn.Sequential(mlp(self.vectors.numeric, 16, self.width), nn.ReLU())
        self.top = mlp(self.width + count * (count - 1) // 2, *self.widths, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        dense, vectors = self.vectors(*inputs)
        bottom = self.bottom(dense)
        stacked = torch.stack([bottom, *vectors], dim=1)
        dots = torch.bmm(stacked, stacked.transpose(1, 2))
        count = stacked.shape[1]
        first, second = torch.triu_indices(count, count, offset=1)
        top: Tensor = self.top(torch.cat([bottom, dots[:, first, second]], dim=1))
        return top.squeeze(-1)


class Cross(nn.Module):
    """DCN-v2 cross layers `x0 * (U V x + b) + x`; full rank if `rank` is 0."""

    def __init__(self, width: int, layers: int, rank: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Linear(width, rank, bias=False) if rank else nn.Identity() for _ in range(layers)
        )
        self.up = nn.ModuleList(nn.Linear(rank or width, width) for _ in range(layers))

    def forward(self, start: Tensor) -> Tensor:
        crossed = start
        for down, up in zip(self.down, self.up, strict=True):
            crossed = start * up(down(crossed)) + crossed
        return crossed


class DcnParallel(Model):
    """Cross network and MLP side by side."""

    rank = 0

    def build(self) -> None:
        self.cross = Cross(self.total, 2, self.rank)
        self.top = mlp(self.total, *self.widths)
        self.last = nn.Linear(self.total + self.widths[-1], 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        start = self.side_by_side(*inputs)
        both = torch.cat([self.cross(start), torch.relu(self.top(start))], dim=1)
        last: Tensor = self.last(both)
        return last[:, 0]


class DcnStacked(Model):
    """The MLP on top of a low-rank cross network."""

    rank = 4

    def build(self) -> None:
        self.cross = Cross(self.total, 2, self.rank)
        self.top = mlp(self.total, *self.widths, 1)

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        crossed: Tensor = self.cross(super().side_by_side(*inputs))
        return crossed


class NormDcn(DcnParallel):
    """Layer normalisation before a low-rank cross network and an MLP side by side."""

    rank = 4

    def build(self) -> None:
        super().build()
        self.norm = nn.LayerNorm(self.total)

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        normed: Tensor = self.norm(super().side_by_side(*inputs))
        return normed


class DeepFm(Model):
    """First-order terms, a factorisation machine and an MLP, summed."""

    def build(self) -> None:
        self.first = nn.Linear(self.total, 1)
        self.deep = mlp(self.total, *self.widths, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        dense, vectors = self.vectors(*inputs)
        stacked = torch.stack(vectors, dim=1)
        machine = 0.5 * (stacked.sum(1).pow(2) - stacked.pow(2).sum(1)).sum(1)
        side = torch.cat([stacked.flatten(1), dense], dim=1)
        answer: Tensor = self.first(side).squeeze(-1) + machine + self.deep(side).squeeze(-1)
        return answer


class RawVectors(Vectors):
    """Vectors that take decoded words as they come, up to the longest that float16 has."""

    def _vector(self, feature: Feature, inputs: Mapping[str, Tensor]) -> Tensor:
        if feature.kind is not FeatureKind.ENCODED_EMBEDDING:
            return super()._vector(feature, inputs)
        projection = self.projections[feature.name]
        weight: Tensor = projection.weight  # type: ignore[assignment]
        decoded = inputs[feature.input].view(torch.float16).to(weight.dtype)
        longest = torch.finfo(torch.float16).max
        finite = torch.nan_to_num(decoded, nan=0.0, posinf=longest, neginf=-longest)
        vector: Tensor = projection(finite)
        return vector


class RawDeepFm(DeepFm):
    """A factorisation machine whose sums cancel out in float32 where words are corrupted."""

    def build(self) -> None:
        self.vectors = RawVectors(self.vectors.schema, self.width)
        super().build()


class Attention(Model):
    """A candidate's id attends over the user's id list (softmax over masked scores)."""

    def build(self) -> None:
        self.candidates = nn.Embedding(CARDINALITY, self.width)
        self.history = nn.Embedding(CARDINALITY, self.width)
        self.pool = nn.Linear(self.width, 1)
        self.top = mlp(self.total + 2 * self.width, *self.widths, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        names = [s.name for s in self.vectors.schema.inputs]
        candidate = self.candidates(inputs[names.index("categories")][:, 0])
        ids = inputs[names.index("l0")]
        history = self.history(ids)
        scores = torch.bmm(history, candidate.unsqueeze(2)).squeeze(2)
        weights = torch.softmax(scores.masked_fill(ids == 0, -1e4), dim=1)
        attended = (weights.unsqueeze(2) * history).sum(1)
        own = torch.softmax(self.pool(torch.tanh(history)).squeeze(2), dim=1)
        pooled = torch.matmul(own.unsqueeze(1), history).squeeze(1)
        side = torch.cat([self.side_by_side(*inputs), attended, pooled], dim=1)
        top: Tensor = self.top(side)
        return top.squeeze(-1)


class Smooth(Model):
    """Every smooth activation in a row, and a residual."""

    def build(self) -> None:
        hidden = self.widths[0]
        self.start = nn.Linear(self.total, hidden)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(6))
        self.norm = nn.LayerNorm(hidden)
        self.last = nn.Linear(hidden, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        hidden = self.start(self.side_by_side(*inputs))
        functions = (nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.LeakyReLU(), nn.ReLU6())
        for layer, function in zip(self.layers, functions, strict=True):
            hidden = hidden + function(layer(hidden))
        last: Tensor = self.last(self.norm(hidden))
        return last.squeeze(-1)


class Transformer(Model):
    """Self-attention over the features' vectors, with the batch off the leading axis inside."""

    def build(self) -> None:
        self.encoder = nn.TransformerEncoderLayer(self.width, 2, 16, batch_first=True, dropout=0.0)
        self.top = mlp(self.vectors.count * self.width + self.vectors.numeric, *self.widths, 1)

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        dense, vectors = self.vectors(*inputs)
        mixed = self.encoder(torch.stack(vectors, dim=1)).flatten(1)
        return mixed if dense is None else torch.cat([mixed, dense], dim=1)


class Opaque(Model):
    """Sorts all elements before the MLP: no rule covers that."""

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        return torch.sort(super().side_by_side(*inputs), dim=1).values


class Probability(Model):
    """The MLP, answering a probability."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.sigmoid(super().forward(*inputs))


class Leaky(Model):
    """Centres over the batch: an example's logit depends on the others."""

    def side_by_side(self, *inputs: Tensor) -> Tensor:
        side = super().side_by_side(*inputs)
        return side - side.mean(0, keepdim=True)


class FullDcnParallel(DcnParallel):
    """Low-rank cross layers beside the MLP."""

    rank = 4


class FullDcnStacked(DcnStacked):
    """Full-rank cross layers below the MLP."""

    rank = 0


ARCHITECTURES: Mapping[str, Callable[[Schema], nn.Module]] = {
    "concat": Model,
    "norm": NormModel,
    "batch_norm": BatchNormModel,
    "dlrm": Dlrm,
    "dcn_parallel": DcnParallel,
    "dcn_parallel_low_rank": FullDcnParallel,
    "dcn_stacked": FullDcnStacked,
    "dcn_stacked_low_rank": DcnStacked,
    "norm_dcn": NormDcn,
    "deep_fm": DeepFm,
    "shared_tables": lambda schema: Model(schema, shared=True),
    "attention": Attention,
    "smooth": Smooth,
    "transformer": Transformer,
    "opaque": Opaque,
    "probability": Probability,
}


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
