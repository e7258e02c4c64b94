"""Logged values become the tensors of docs/reference/checkpoint.md, or are refused."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from clients.drill.columns import pack_float16, unpack_float16
from clients.drill.encoding import Encoder
from clients.drill.errors import EncodingError
from clients.drill.movielens.world import World
from clients.drill.schema import Feature, FeatureKind, Schema

SCHEMA = Schema(
    (
        Feature("age", FeatureKind.NUMERIC, baseline=30.0),
        Feature("gender", FeatureKind.CATEGORICAL, cardinality=3),
        Feature("genres", FeatureKind.ID_LIST, cardinality=5, size=3),
        Feature("taste", FeatureKind.WEIGHTED_ID_LIST, cardinality=5, size=2),
        Feature("poster", FeatureKind.EMBEDDING, size=2),
        Feature("user", FeatureKind.ENCODED_EMBEDDING, size=1),
    )
)
ROWS: dict[str, list[Any]] = {
    "age": [41.5, None],
    "gender": [2, None],
    "genres": [[4, 1], None],
    "taste": [[{"id": 3, "weight": 0.5}], None],
    "poster": [[1.0, -1.0], None],
    "user": [[-7], None],
}


def _table(**columns: list[Any]) -> pa.Table:
    values = ROWS | columns
    return pa.table({f.name: pa.array(values[f.name], f.arrow_type) for f in SCHEMA.features})


def test_values_and_nulls() -> None:
    names = [tensor.name for tensor in SCHEMA.inputs]
    encoded = dict(zip(names, Encoder(SCHEMA)(_table()), strict=True))
    assert encoded["dense"].tolist() == [[41.5], [30.0]]
    assert encoded["categories"].tolist() == [[2], [0]]
    assert encoded["genres"].tolist() == [[4, 1, 0], [0, 0, 0]]
    assert encoded["taste"].tolist() == [[3, 0], [0, 0]]
    assert encoded["taste__weights"].tolist() == [[0.5, 0.0], [0.0, 0.0]]
    assert encoded["poster"].tolist() == [[1.0, -1.0], [0.0, 0.0]]
    assert encoded["user"].tolist() == [[-7], [0]]


def test_killing_a_feature_is_logging_null() -> None:
    encoder = Encoder(SCHEMA)
    for killed in SCHEMA.names():
        nulls = _table(**{killed: [None, None]})
        for ours, theirs in zip(encoder(_table(), {killed}), encoder(nulls), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("feature", "values", "reason"),
    [
        ("age", [float("nan"), 1.0], "NaN or infinite"),
        ("age", [1e300, 1.0], "NaN or infinite"),
        ("gender", [3, 1], "id 3 is not in"),
        ("gender", [-1, 1], "id -1 is not in"),
        ("genres", [[1, 2, 3, 4], []], "row 0 has 4 ids"),
        ("genres", [[], [0]], "id 0 is not in"),
        ("genres", [[None], []], "null"),
        ("taste", [[{"id": 1, "weight": float("inf")}], []], "NaN or infinite"),
        ("poster", [[float("nan"), 1.0], [0.0, 0.0]], "NaN or infinite"),
        ("poster", [[None, 1.0], [0.0, 0.0]], "null"),
    ],
)
def test_what_does_not_fit_is_refused(feature: str, values: list[Any], reason: str) -> None:
    table = _table(**{feature: values}) if feature != "age" else _wide_age(values)
    with pytest.raises(EncodingError, match=f"{feature}: .*{reason}"):
        Encoder(SCHEMA)(table)


def _wide_age(values: list[Any]) -> pa.Table:
    return _table().set_column(0, "age", pa.array(values, pa.float64()))


def test_vectors_of_another_size_and_missing_columns_are_refused() -> None:
    table = _table()
    short = table.set_column(4, "poster", pa.array([[1.0], [2.0]], pa.list_(pa.float32(), 1)))
    with pytest.raises(EncodingError, match="poster: vectors of 1"):
        Encoder(SCHEMA)(short)
    with pytest.raises(EncodingError, match="poster: the table has no such column"):
        Encoder(SCHEMA)(table.drop_columns(["poster"]))


def test_the_world_encodes_to_the_inputs_of_its_schema(world: World) -> None:
    tensors = Encoder(world.schema)(world.examples.slice(100, 50))
    for tensor, expected in zip(tensors, world.schema.inputs, strict=True):
        assert tuple(tensor.shape) == (50, *expected.shape)
        assert tensor.dtype == getattr(torch, expected.dtype)


def test_slices_encode_like_the_whole(world: World) -> None:
    encoder = Encoder(world.schema)
    whole = encoder(world.examples.slice(0, 300))
    for part, all_ in zip(encoder(world.examples.slice(200, 100)), whole, strict=True):
        assert torch.equal(part, all_[200:])


def test_record_batches_and_chunks_encode_alike(world: World) -> None:
    encoder = Encoder(world.schema)
    rows = world.examples.slice(0, 100)
    chunked = pa.concat_tables([rows.slice(0, 30), rows.slice(30)])
    batch = rows.combine_chunks().to_batches()[0]
    for one, two, three in zip(encoder(rows), encoder(chunked), encoder(batch), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_packing_is_little_endian_float16() -> None:
    vectors = np.array([[1.5, -2.0, 0.0, 65504.0, 0.25, 1e-7, -0.0, 3.0]])
    words = pack_float16(vectors)
    assert words.dtype == np.int64
    assert words.shape == (1, 2)
    assert words[0, 0] & 0xFFFF == np.float16(1.5).view(np.uint16)
    assert words[0, 0] >> 48 & 0xFFFF == np.float16(65504.0).view(np.uint16)
    np.testing.assert_array_equal(unpack_float16(words), vectors.astype(np.float16))


def test_packing_needs_a_multiple_of_four() -> None:
    with pytest.raises(ValueError, match="no multiple of 4"):
        pack_float16(np.zeros((1, 6)))
