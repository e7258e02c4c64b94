"""Click models of every usual architecture, over any number of features of all six kinds.

The heads join what `vectors` makes of the features. All in plain PyTorch as a modeller would write
it.
"""

import itertools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from services.attribution.domain.checkpoint import (
    Schema,
)
from tests.unit.services.attribution.engine.vectors import CARDINALITY, RawVectors, Vectors


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
