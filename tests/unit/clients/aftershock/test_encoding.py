"""Every accepted shape becomes the Arrow type that checkpoints name, in chunks that fit."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftershock import InvalidExamples
from aftershock._encoding import (
    MAX_CHUNK_BYTES,
    MAX_CHUNK_EXAMPLES,
    count_examples,
    encode,
    to_arrow,
)


def decode(chunks: list[tuple[bytes, int]]) -> pa.Table:
    """Return the chunks as one table, after checking their sizes."""
    tables = []
    for stream, count in chunks:
        assert len(stream) <= MAX_CHUNK_BYTES
        table = pa.ipc.open_stream(stream).read_all()
        assert table.num_rows == count <= MAX_CHUNK_EXAMPLES
        tables.append(table)
    return pa.concat_tables(tables)


def column(values: Any) -> Any:
    return to_arrow({"f": values}).column("f").combine_chunks()


@pytest.mark.parametrize(
    ("values", "type_", "python"),
    [
        (np.array([1.5, 2.5], np.float32), pa.float32(), [1.5, 2.5]),
        (np.array([1.5, 2.5]), pa.float64(), [1.5, 2.5]),
        (np.array([1.5, 2.5], np.float16), pa.float32(), [1.5, 2.5]),
        (np.array([1, 2], np.int32), pa.int64(), [1, 2]),
        (np.array([1, 2], np.uint8), pa.int64(), [1, 2]),
        (np.array([True, False]), pa.int64(), [1, 0]),
        (np.ma.array([1, 2], mask=[False, True]), pa.int64(), [1, None]),
        ([1, None], pa.int64(), [1, None]),
        ([1.5, None], pa.float64(), [1.5, None]),
        (np.array([1, None], object), pa.int64(), [1, None]),
        (pa.array([1, 2], pa.int16()), pa.int16(), [1, 2]),
        ([np.array([3, 4]), [], None], pa.list_(pa.int64()), [[3, 4], [], None]),
        ([[3], np.array([4, 5], np.int32)], pa.list_(pa.int64()), [[3], [4, 5]]),
        ([[], []], pa.list_(pa.int64()), [[], []]),
        (np.array([[1, 2], [3, 4]], np.float64), pa.list_(pa.float32(), 2), [[1, 2], [3, 4]]),
        (np.array([[1, 2]], np.int64), pa.list_(pa.int64(), 2), [[1, 2]]),
        (np.array([[2**64 - 1]], np.uint64), pa.list_(pa.int64(), 1), [[-1]]),
    ],
)
def test_a_column_of_each_shape(values: Any, type_: Any, python: list[Any]) -> None:
    array = column(values)
    assert array.type == type_
    assert array.to_pylist() == python


def test_weighted_lists() -> None:
    array = column([([1, 2], np.array([0.5, 0.25])), None, ([], [])])
    assert array.type == pa.list_(pa.struct([("id", pa.int64()), ("weight", pa.float32())]))
    assert array.to_pylist() == [
        [{"id": 1, "weight": 0.5}, {"id": 2, "weight": 0.25}],
        None,
        [],
    ]


def test_types_that_no_schema_names_are_left_for_the_service_to_refuse() -> None:
    assert column(["a", "b"]).type == pa.string()
    assert column([[1.5]]).type == pa.list_(pa.float64())


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "'b' has 1 rows and 'a' has 2"),
        ({"a": np.zeros((2, 2, 2))}, "'a' cannot be encoded.*shape"),
        ({"a": [([1, 2], [0.5])]}, "'a' cannot be encoded.*as many weights as ids"),
        ({"a": [[[1]]]}, "'a' cannot be encoded.*not lists"),
        ({"a": [1, "x"]}, "'a' cannot be encoded"),
        ({"a": [object()]}, "'a' cannot be encoded"),
        ([1, 2], "this is a list"),
        ({}, "empty"),
        ({"a": []}, "empty"),
        ({"a": [list(range(600_000))]}, "one example takes"),
    ],
)
def test_what_cannot_be_encoded_says_why(examples: Any, message: str) -> None:
    with pytest.raises(InvalidExamples, match=message):
        list(encode(examples))


def test_arrow_passes_through_whole() -> None:
    table = pa.table({"a": pa.chunked_array([[1, 2], [3]]), "b": ["x", "y", "z"]})
    assert decode(list(encode(table))) == table
    batch = pa.record_batch({"a": [1, 2, 3]})
    assert decode(list(encode(batch))).to_batches()[0] == batch


def test_wide_examples_make_smaller_chunks() -> None:
    examples = {"e": np.ones((1000, 4096), np.float32), "ids": [[i] * (i % 7) for i in range(1000)]}
    chunks = list(encode(examples))
    table = decode(chunks)
    assert max(count for _, count in chunks) < MAX_CHUNK_EXAMPLES
    assert table.column("ids").to_pylist() == examples["ids"]


def test_one_large_example_among_small_ones() -> None:
    lists = [[1]] * 300 + [list(range(500_000))] + [[2]] * 300
    assert decode(list(encode({"ids": lists}))).column("ids").to_pylist() == lists


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.lists(st.integers(1, 2**63 - 1), max_size=5)),
            st.floats(allow_nan=False, width=32),
        ),
        min_size=1,
        max_size=1200,
    )
)
def test_what_goes_in_comes_out(rows: list[tuple[list[int] | None, float]]) -> None:
    lists, numbers = [row[0] for row in rows], np.array([row[1] for row in rows], np.float32)
    examples = {"ids": lists, "number": numbers}
    if all(ids is None for ids in lists):
        examples.pop("ids")
    table = decode(list(encode(examples)))
    assert count_examples(examples) == table.num_rows == len(rows)
    assert table.column("number").to_pylist() == numbers.tolist()
    if "ids" in examples:
        assert table.column("ids").to_pylist() == lists
