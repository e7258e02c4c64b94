"""The engagement world: MovieLens-100K as a click model's pipeline would have logged it.

One row an event, in the order of time; one column a feature, computed from earlier rows only;
the label is a rating of 4 or 5. The world is built once and cached as Parquet, under the digest
of the code that computes it.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from clients.drill.columns import Column
from clients.drill.movielens.categorical_features import categorical_features
from clients.drill.movielens.embedding_features import embedding_features, encoded_features
from clients.drill.movielens.list_features import list_features
from clients.drill.movielens.numeric_features import numeric_features
from clients.drill.movielens.source import SHA256, load_movielens
from clients.drill.movielens.timeline import Timeline
from clients.drill.progress import Progressing, silent
from clients.drill.schema import Schema

TRAIN_SHARE = 0.55
_HERE = Path(__file__).parent
SOURCES = (*sorted(_HERE.glob("*.py")), _HERE.parent / "columns.py", _HERE.parent / "schema.py")
"""The code that computes the world."""
LABEL, TIMESTAMP, SCHEMA_KEY = "__liked", "__timestamp", b"aftershock.schema"


@dataclass(frozen=True)
class World:
    """A timeline of examples with their outcomes.

    examples: one column a feature, in the schema's order, of the types in
    docs/reference/checkpoint.md. labels: bool [N]. timestamps: datetime64[s] [N], never
    decreasing, UTC. The checkpoint may see the first `train_rows` rows.
    """

    schema: Schema
    examples: pa.Table
    labels: npt.NDArray[np.bool_]
    timestamps: npt.NDArray[np.datetime64]
    train_rows: int

    def __len__(self) -> int:
        return len(self.labels)


def load_world(cache: Path, progress: Progressing | None = None) -> World:
    """The world from `cache`, after downloading its data and building it where needed."""
    report = progress or silent
    path = cache / f"world-{_digest()}.parquet"
    if not path.exists():
        report("download", 0.0)
        _write(build_world(Timeline(load_movielens(cache)), report), path)
    return _read(path)


def build_world(timeline: Timeline, progress: Progressing) -> World:
    """Computes every feature of a timeline, which may be the beginning of the whole one."""
    columns = list(_columns(timeline, progress))
    progress("features", 1.0)
    schema = Schema(tuple(column.feature for column in columns))
    arrays = [column.values for column in columns]
    return World(
        schema=schema,
        examples=pa.Table.from_arrays(arrays, names=list(schema.names())),
        labels=timeline.liked > 0,
        timestamps=timeline.seconds.astype("datetime64[s]"),
        train_rows=int(len(timeline) * TRAIN_SHARE),
    )


def _columns(timeline: Timeline, progress: Progressing) -> Iterator[Column]:
    progress("features", 0.0)
    yield from numeric_features(timeline)
    progress("features", 0.3)
    yield from categorical_features(timeline)
    yield from list_features(timeline)
    yield from embedding_features(timeline)
    progress("features", 0.5)
    yield from encoded_features(timeline, lambda share: progress("features", 0.5 + share / 2))


def _digest() -> str:
    digest = hashlib.sha256(SHA256.encode())
    for source in SOURCES:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _write(world: World, path: Path) -> None:
    """Whole or not at all, so that readers never see half a file; worlds of older code go."""
    table = world.examples.append_column(LABEL, pa.array(world.labels)).append_column(
        TIMESTAMP, pa.array(world.timestamps)
    )
    schema = json.dumps({"features": world.schema.to_json(), "train_rows": world.train_rows})
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".world-") as folder:
        part = Path(folder) / path.name
        pq.write_table(table.replace_schema_metadata({SCHEMA_KEY: schema}), part)
        part.replace(path)
    for outdated in path.parent.glob("world-*.parquet"):
        if outdated != path:
            outdated.unlink(missing_ok=True)


def _read(path: Path) -> World:
    table = pq.read_table(path)
    described = json.loads(table.schema.metadata[SCHEMA_KEY])
    schema = Schema.from_json(described["features"])
    return World(
        schema=schema,
        examples=table.select(list(schema.names())).replace_schema_metadata(None),
        labels=table[LABEL].to_numpy(),
        timestamps=table[TIMESTAMP].to_numpy().astype("datetime64[s]"),
        train_rows=described["train_rows"],
    )
