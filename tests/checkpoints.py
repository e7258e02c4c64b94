"""Small checkpoints with all six feature kinds, and examples for them.

`save_checkpoint` writes any torch module in the checkpoint folder format. `SMALL_MODELS` are tiny
models over one schema, each joining the features differently: a concatenation before an MLP,
pairwise dots, a plain sum, layer normalisation, and a probability as output.
"""

import hashlib
import inspect
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from services.attribution.domain.checkpoint import (
    Feature,
    FeatureKind,
    Group,
    InputSpec,
    Output,
    Schema,
)
from services.attribution.domain.example import Examples

# Test processes share the cores: threads that wait for each other would take them all.
torch.set_num_threads(1)

TRAINED_UNTIL = datetime(2026, 11, 20, tzinfo=UTC)
IDS = 20
BUCKETS = 31
EMBEDDING_WIDTH = 8
WORDS = 2

SCHEMA = Schema(
    inputs=(
        InputSpec("dense", np.dtype(np.float32), (3,)),
        InputSpec("price", np.dtype(np.float32), ()),
        InputSpec("categories", np.dtype(np.int64), (2,)),
        InputSpec("zip_code", np.dtype(np.int64), ()),
        InputSpec("genres", np.dtype(np.int64), (6,)),
        InputSpec("watched", np.dtype(np.int64), (5,)),
        InputSpec("affinity_ids", np.dtype(np.int64), (4,)),
        InputSpec("affinity_weights", np.dtype(np.float32), (4,)),
        InputSpec("poster", np.dtype(np.float32), (EMBEDDING_WIDTH,)),
        InputSpec("user_embedding", np.dtype(np.int64), (WORDS,)),
        InputSpec("item_embedding", np.dtype(np.int64), (WORDS,)),
    ),
    features=(
        Feature("user_age", FeatureKind.NUMERIC, "dense", column=0),
        Feature("hour", FeatureKind.NUMERIC, "dense", column=1, baseline=-1.0),
        Feature("release_year", FeatureKind.NUMERIC, "dense", column=2),
        Feature("price", FeatureKind.NUMERIC, "price", baseline=0.5),
        Feature("gender", FeatureKind.CATEGORICAL, "categories", column=0, cardinality=3),
        Feature(
            "occupation",
            FeatureKind.CATEGORICAL,
            "categories",
            column=1,
            baseline=IDS - 1,
            cardinality=IDS,
        ),
        Feature("zip_code", FeatureKind.CATEGORICAL, "zip_code", baseline=-1),
        Feature("genres", FeatureKind.ID_LIST, "genres", cardinality=IDS),
        Feature("watched", FeatureKind.ID_LIST, "watched"),
        Feature(
            "genre_affinity",
            FeatureKind.WEIGHTED_ID_LIST,
            "affinity_ids",
            weights_input="affinity_weights",
            cardinality=IDS,
        ),
        Feature("poster", FeatureKind.EMBEDDING, "poster"),
        Feature("user_embedding", FeatureKind.ENCODED_EMBEDDING, "user_embedding"),
        Feature("item_embedding", FeatureKind.ENCODED_EMBEDDING, "item_embedding"),
    ),
)
"""Packed and own inputs, baselines other than 0, bounded and hashed ids."""

GROUPS = {
    "user_profile": ("user_age", "zip_code", "watched", "user_embedding"),
    "taste": ("release_year", "gender"),
}


def grouped(schema: Schema, groups: Mapping[str, Sequence[str]]) -> Schema:
    """Return the same columns with some of them in groups, which come first."""
    columns = {column.name: column for column in schema.columns}
    made = [Group(name, tuple(columns.pop(m) for m in names)) for name, names in groups.items()]
    return Schema(schema.inputs, (*made, *columns.values()))


GROUPED = grouped(SCHEMA, GROUPS)
"""`SCHEMA` with groups of packed and own inputs, and a feature of every kind beside them."""


class Towers(nn.Module):
    """One vector of `width` per feature, in the schema's order: `[B, 13, width]`."""

    recency: Tensor

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.numeric_weight = nn.Parameter(torch.randn(4, width))
        self.numeric_bias = nn.Parameter(torch.randn(4, width) * 0.1)
        self.gender = nn.Embedding(3, width)
        self.occupation = nn.Embedding(IDS, width)
        self.zip_code = nn.Embedding(BUCKETS, width)
        self.genres = nn.Embedding(IDS, width)
        self.watched = nn.Embedding(BUCKETS, width)
        self.affinity = nn.Embedding(IDS, width)
        self.poster = nn.Linear(EMBEDDING_WIDTH, width)
        self.user = nn.Linear(4 * WORDS, width)
        self.item = nn.Linear(4 * WORDS, width)
        self.register_buffer("recency", 0.8 ** torch.arange(5.0), persistent=True)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the vectors."""
        dense, price, categories, zip_code, genres, watched, ids, weights, *embeddings = inputs
        poster, user_embedding, item_embedding = embeddings
        numbers = torch.cat([dense, price.unsqueeze(1)], dim=1).unsqueeze(2)
        numeric = torch.relu(numbers * self.numeric_weight + self.numeric_bias)
        by_recency = (watched > 0).float() * self.recency
        vectors = [
            self.gender(categories[:, 0]),
            self.occupation(categories[:, 1]),
            self.zip_code(zip_code % BUCKETS),
            _pooled(self.genres(genres), (genres > 0).float()),
            _pooled(self.watched(watched % BUCKETS), by_recency),
            _pooled(self.affinity(ids), weights * (ids > 0)),
            self.poster(poster),
            self.user(_decoded(user_embedding)),
            self.item(_decoded(item_embedding)),
        ]
        return torch.cat([numeric, torch.stack(vectors, dim=1)], dim=1)


class ConcatModel(nn.Module):
    """All vectors side by side into an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = Towers()
        self.mlp = _mlp(13 * 8)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the logit, `[B]`."""
        top: Tensor = self.mlp(self.towers(*inputs).flatten(1))
        return top.squeeze(1)


class DotsModel(nn.Module):
    """Pairwise dots of all vectors, beside the vectors themselves, into an MLP."""

    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.towers = Towers()
        self.register_buffer("pairs", torch.triu_indices(13, 13, offset=1))
        self.mlp = _mlp(13 * 8 + 13 * 12 // 2)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the logit, `[B]`."""
        vectors = self.towers(*inputs)
        dots = torch.bmm(vectors, vectors.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        top: Tensor = self.mlp(torch.cat([vectors.flatten(1), dots], dim=1))
        return top.squeeze(1)


class SumModel(nn.Module):
    """The sum of all vectors into an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = Towers()
        self.mlp = _mlp(8)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the logit, `[B]`."""
        top: Tensor = self.mlp(self.towers(*inputs).sum(dim=1))
        return top.squeeze(1)


class NormModel(nn.Module):
    """Layer normalisation before the MLP: an ablation reaches everything."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = Towers()
        self.norm = nn.LayerNorm(13 * 8)
        self.mlp = _mlp(13 * 8)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the logit, `[B]`."""
        top: Tensor = self.mlp(self.norm(self.towers(*inputs).flatten(1)))
        return top.squeeze(1)


class ProbabilityModel(ConcatModel):
    """The concatenation, answering a probability."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the probability, `[B]`."""
        return torch.sigmoid(super().forward(*inputs))


SMALL_MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "concat": ConcatModel,
    "dots": DotsModel,
    "sum": SumModel,
    "norm": NormModel,
    "probability": ProbabilityModel,
}


@dataclass(frozen=True)
class Manifest:
    """What a manifest says beside its schema."""

    model: str = "ads_ctr"
    version: str = "1"
    trained_until: datetime = TRAINED_UNTIL
    output: Output = Output.LOGIT
    threshold: float = 0.5
    changes: Mapping[str, object] = field(default_factory=dict)
    """Top-level manifest fields to overwrite, for tests of malformed manifests."""


def small_checkpoint(
    folder: Path,
    name: str = "concat",
    manifest: Manifest | None = None,
    *,
    seed: int = 0,
    schema: Schema = SCHEMA,
) -> Path:
    """Write the small model of that name with seeded weights into `folder` and return it."""
    output = Output.PROBABILITY if name == "probability" else Output.LOGIT
    module = small_model(name, seed=seed)
    return save_checkpoint(folder, module, schema, manifest or Manifest(output=output))


def small_model(name: str, *, seed: int = 0) -> nn.Module:
    """Return the small model of that name with seeded weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SMALL_MODELS[name]().eval()


def save_checkpoint(
    folder: Path, module: nn.Module, schema: Schema, manifest: Manifest | None = None
) -> Path:
    """Export `module` with a dynamic batch dimension and write it with its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = random_examples(schema, 4, seed=0)
    arguments = tuple(torch.from_numpy(a) for a in examples.arguments())
    batch = torch.export.Dim("batch")
    parameters = inspect.signature(module.forward).parameters.values()
    variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    of_inputs = tuple({0: batch} for _ in arguments)
    shapes = (of_inputs,) if variadic else of_inputs
    with torch.no_grad():
        program = torch.export.export(module, arguments, dynamic_shapes=shapes)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    (folder / "model.pt2").write_bytes(buffer.getvalue())
    write_manifest(folder, schema, manifest or Manifest())
    return folder


def write_manifest(folder: Path, schema: Schema, manifest: Manifest) -> None:
    """Write `manifest.json` beside a `model.pt2` that is there already."""
    digest = hashlib.sha256((folder / "model.pt2").read_bytes()).hexdigest()
    document: dict[str, object] = {
        "format_version": 1,
        "model": manifest.model,
        "version": manifest.version,
        "trained_until": manifest.trained_until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "output": manifest.output.value,
        "threshold": manifest.threshold,
        "program": {"file": "model.pt2", "sha256": digest},
        "inputs": [
            {"name": i.name, "dtype": i.dtype.name, "shape": list(i.shape)} for i in schema.inputs
        ],
        "features": [_feature_document(column) for column in schema.columns],
        "groups": [
            {"name": f.name, "features": [column.name for column in f.members]}
            for f in schema.features
            if isinstance(f, Group)
        ],
    }
    document |= manifest.changes
    (folder / "manifest.json").write_text(json.dumps(document, indent=2))


def random_examples(
    schema: Schema = SCHEMA, count: int = 64, *, seed: int = 0, absent: float = 0.3
) -> Examples:
    """Return random examples; each feature is absent from about a share `absent` of them."""
    generator = np.random.default_rng(seed)
    row = schema.baseline_row()
    arrays = {
        name: np.broadcast_to(value, (count, *value.shape)).copy() for name, value in row.items()
    }
    for feature in schema.columns:
        rows = np.flatnonzero(generator.random(count) >= absent)
        for name, values in _random_values(schema, feature, len(rows), generator).items():
            if feature.column is None:
                arrays[name][rows] = values
            else:
                arrays[name][rows, feature.column] = values
    return Examples(schema, arrays)


def arrow_table(examples: Examples) -> pa.Table:
    """Return the examples as the Arrow columns that a pipeline would send."""
    return pa.table({f.name: _arrow_column(examples, f) for f in examples.schema.columns})


def arrow_stream(examples: Examples | pa.Table) -> bytes:
    """Return examples as an Arrow IPC stream."""
    table = arrow_table(examples) if isinstance(examples, Examples) else examples
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _decoded(words: Tensor) -> Tensor:
    vector = words.view(torch.float16).float()
    return torch.nan_to_num(vector, nan=0.0, posinf=0.0, neginf=0.0).clamp(-8, 8)


def _pooled(vectors: Tensor, weights: Tensor) -> Tensor:
    return (vectors * weights.unsqueeze(2)).sum(dim=1)


def _mlp(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 1))


def _feature_document(feature: Feature) -> dict[str, object]:
    document: dict[str, object] = {
        "name": feature.name,
        "kind": feature.kind.value,
        "input": feature.input,
    }
    optional = {
        "column": feature.column,
        "weights_input": feature.weights_input,
        "cardinality": feature.cardinality,
    }
    document |= {key: value for key, value in optional.items() if value is not None}
    if feature.kind in (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL):
        document["baseline"] = feature.baseline
    return document


def _random_values(
    schema: Schema, feature: Feature, count: int, generator: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    shape = () if feature.column is not None else schema.input_of(feature).shape
    bound = feature.cardinality or 1_000_003
    match feature.kind:
        case FeatureKind.NUMERIC | FeatureKind.EMBEDDING:
            return {feature.input: generator.normal(size=(count, *shape)).astype(np.float32)}
        case FeatureKind.CATEGORICAL:
            return {feature.input: generator.integers(0, bound, count)}
        case FeatureKind.ENCODED_EMBEDDING:
            vectors = generator.normal(size=(count, 4 * shape[0])).astype("<f2")
            return {feature.input: vectors.view("<i8").astype(np.int64)}
        case _:
            lengths = generator.integers(1, shape[0] + 1, count)
            used = np.arange(shape[0]) < lengths[:, None]
            ids = used * generator.integers(1, bound, (count, *shape))
            values: dict[str, NDArray[np.generic]] = {feature.input: ids}
            if feature.weights_input is not None:
                weights = generator.random((count, *shape)).astype(np.float32)
                values[feature.weights_input] = used * weights
            return values


def _arrow_column(examples: Examples, feature: Feature) -> pa.Array:
    array = examples.arrays[feature.input]
    if feature.column is not None:
        return pa.array(array[:, feature.column])
    match feature.kind:
        case FeatureKind.NUMERIC | FeatureKind.CATEGORICAL:
            return pa.array(array)
        case FeatureKind.EMBEDDING | FeatureKind.ENCODED_EMBEDDING:
            return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
        case _:
            return _arrow_lists(examples, feature)


def _arrow_lists(examples: Examples, feature: Feature) -> pa.Array:
    ids = examples.arrays[feature.input]
    used = ids != 0
    offsets = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int32)
    values = pa.array(ids[used])
    if feature.weights_input is not None:
        weights = pa.array(examples.arrays[feature.weights_input][used])
        values = pa.StructArray.from_arrays([values, weights], names=["id", "weight"])
    return pa.ListArray.from_arrays(pa.array(offsets), values)
