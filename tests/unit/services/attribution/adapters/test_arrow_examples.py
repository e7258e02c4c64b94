"""Arrow columns become the program's inputs, or say why not."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.attribution.adapters.arrow_examples import decode
from services.attribution.domain.checkpoint import FeatureKind
from services.attribution.domain.errors import (
    AttributionError,
    EmptyBatch,
    IdOutOfRange,
    ListTooLong,
    MalformedArrow,
    MissingFeature,
    NotFinite,
    UnknownFeature,
    WrongDataType,
)
from services.attribution.domain.example import Examples
from tests.checkpoints import GROUPED, SCHEMA, arrow_stream, arrow_table, random_examples

FIELD = "batch.arrow_stream"
ROWS = 6
TABLE = arrow_table(random_examples(count=ROWS, seed=4))


def decoded(table: pa.Table) -> Examples:
    return decode(arrow_stream(table), SCHEMA, FIELD)


def with_column(name: str, column: Any) -> pa.Table:
    position = TABLE.column_names.index(name)
    return TABLE.set_column(position, name, column)


def same(examples: Examples, others: Examples) -> bool:
    return all(np.array_equal(a, others.arrays[name]) for name, a in examples.arrays.items())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 1000), st.integers(1, 10))
def test_what_was_encoded_comes_back(count: int, seed: int, rows_per_chunk: int) -> None:
    examples = random_examples(count=count, seed=seed)
    table = arrow_table(examples)
    chunks = [table.slice(s, rows_per_chunk) for s in range(0, count, rows_per_chunk)]
    result = decoded(pa.concat_tables(chunks))
    assert same(result, examples)
    for spec in SCHEMA.inputs:
        assert result.arrays[spec.name].dtype == spec.dtype
        assert result.arrays[spec.name].flags.writeable


@pytest.mark.parametrize("name", TABLE.column_names)
def test_a_column_of_nulls_is_the_baseline(name: str) -> None:
    expected = decoded(TABLE).ablated([SCHEMA.features[SCHEMA.index[name]]])
    assert same(decoded(with_column(name, pa.nulls(ROWS))), expected)
    typed = pa.nulls(ROWS, TABLE.schema.field(name).type)
    assert same(decoded(with_column(name, typed)), expected)


@pytest.mark.parametrize("name", TABLE.column_names)
def test_a_null_is_the_baseline_of_its_row(name: str) -> None:
    kept = pa.array([True, False, True, False, False, True])
    column = pa.array(
        [v if k.as_py() else None for v, k in zip(TABLE[name].to_pylist(), kept, strict=True)],
        TABLE.schema.field(name).type,
    )
    rows = np.flatnonzero(~np.array(kept))
    expected = decoded(TABLE)
    for row in rows:
        expected.ablate_rows(SCHEMA.features[SCHEMA.index[name]], slice(row, row + 1))
    assert same(decoded(with_column(name, column)), expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("price", t) for t in (pa.float16(), pa.float64(), pa.int8(), pa.uint64(), pa.int64())),
        *(("gender", t) for t in (pa.int8(), pa.uint8(), pa.int32(), pa.uint64())),
        ("genres", pa.list_(pa.int8())),
        ("genres", pa.large_list(pa.uint64())),
        ("genre_affinity", pa.large_list(pa.struct({"weight": pa.float64(), "id": pa.int16()}))),
        ("genre_affinity", pa.list_(pa.struct({"id": pa.uint64(), "weight": pa.int32()}))),
        ("poster", pa.list_(pa.float64())),
        ("poster", pa.large_list(pa.float16())),
        ("poster", pa.list_(pa.int32(), 8)),
        ("user_embedding", pa.list_(pa.int32(), 2)),
    ],
)
def test_any_width_of_number_is_cast(name: str, kind: pa.DataType) -> None:
    values: dict[str, list[Any]] = {
        "price": [0, 1, 2, None, 4, 5],
        "gender": [0, 1, 2, None, 1, 0],
        "genres": [[], [1], [2, 3], None, [4, 5, 6], [7]],
        "genre_affinity": [[], None, [{"id": 3, "weight": 2}], [], [], []],
        "poster": [[1] * 8, None, [2] * 8, [3] * 8, None, [5] * 8],
        "user_embedding": [[1, 2], None, [3, 4], [5, 6], None, [7, 8]],
    }
    usual = pa.array(values[name], TABLE.schema.field(name).type)
    unusual = pa.array(values[name], kind)
    assert same(decoded(with_column(name, unusual)), decoded(with_column(name, usual)))


def refused(table: pa.Table, error: type[AttributionError], message: str, field: str) -> None:
    with pytest.raises(error, match=message) as caught:
        decoded(table)
    assert caught.value.field == f"{FIELD}{field}"


def test_an_unknown_column_is_refused() -> None:
    table = TABLE.append_column("agee", pa.nulls(ROWS))
    refused(table, UnknownFeature, "'agee' is no feature", ".agee")


def test_a_missing_column_is_refused() -> None:
    table = TABLE.drop_columns(["hour", "genres"])
    refused(table, MissingFeature, r"'hour' has no column \(2 missing\)", ".hour")


def test_a_column_that_is_there_twice_is_refused() -> None:
    table = TABLE.append_column("hour", TABLE["hour"])
    refused(table, MalformedArrow, "'hour' appears twice", ".hour")


def test_an_empty_batch_is_refused() -> None:
    refused(TABLE.slice(0, 0), EmptyBatch, "no examples", "")


def test_more_rows_than_memory_is_for_are_refused() -> None:
    nulls = pa.table({f.name: pa.nulls(1_000_001) for f in SCHEMA.features})
    refused(nulls, MalformedArrow, "split it", "")


@pytest.mark.parametrize(
    ("name", "column", "hint"),
    [
        ("price", ["1"] * ROWS, "floats or integers, and the column holds string"),
        ("price", [True] * ROWS, "bool"),
        ("gender", [1.0] * ROWS, "integers, and the column holds double"),
        ("gender", pa.array([1] * ROWS).dictionary_encode(), "decode the dictionary"),
        ("genres", [1] * ROWS, "lists of integers"),
        ("genres", [[1.5]] * ROWS, "double"),
        ("genres", [["1"]] * ROWS, "string"),
        ("genre_affinity", [[1]] * ROWS, "structs"),
        ("genre_affinity", [[{"id": 1}]] * ROWS, "structs"),
        ("genre_affinity", [[{"id": 1, "weight": "1"}]] * ROWS, "string"),
        ("poster", [0.5] * ROWS, "lists of floats"),
        ("user_embedding", pa.array([[0.5, 1]] * ROWS, pa.list_(pa.float64(), 2)), "integers"),
    ],
)
def test_a_wrong_type_is_refused(name: str, column: Any, hint: str) -> None:
    column = pa.array(column) if isinstance(column, list) else column
    refused(with_column(name, column), WrongDataType, hint, f".{name}")


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "row", "value", "error", "message"),
    [
        ("price", 3, NAN, NotFinite, "row 3: nan is not a finite float32"),
        ("price", 0, -INF, NotFinite, "row 0: -inf"),
        ("poster", 2, [1.0] * 7 + [INF], NotFinite, "row 2: inf"),
        ("genre_affinity", 4, [{"id": 1, "weight": NAN}], NotFinite, "row 4: nan"),
        ("gender", 5, 3, IdOutOfRange, r"row 5: id 3 is not in \[0, 3\)"),
        ("gender", 5, -1, IdOutOfRange, "row 5: id -1"),
        ("genres", 1, [1, 20], IdOutOfRange, r"row 1: id 20 is not in \[1, 20\)"),
        ("genres", 1, [1, 0], IdOutOfRange, "row 1: id 0 .*padded with"),
        ("watched", 1, [0], IdOutOfRange, "padded with"),
        ("genre_affinity", 2, [{"id": 20, "weight": 1.0}], IdOutOfRange, "row 2: id 20"),
        ("genres", 2, [1] * 7, ListTooLong, "row 2: a list of 7 ids; the checkpoint takes 6"),
        ("genre_affinity", 2, [{"id": 1, "weight": 1.0}] * 5, ListTooLong, "takes 4"),
        ("genres", 4, [1, None], WrongDataType, "row 4: a null inside a list"),
        ("genre_affinity", 4, [None], WrongDataType, "row 4: a null inside a list"),
        ("poster", 4, [1.0] * 7 + [None], WrongDataType, "row 4: a null inside a list"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    name: str, row: int, value: Any, error: type[AttributionError], message: str
) -> None:
    values = TABLE[name].to_pylist()
    values[row] = value
    column = pa.array(values, TABLE.schema.field(name).type)
    refused(with_column(name, column), error, message, f".{name}[{row}]")


ANY_NUMBER = st.sampled_from([NAN, INF, -INF])
OF_EACH_KIND: dict[FeatureKind, tuple[str, Callable[[float], Any], type[AttributionError]]] = {
    FeatureKind.NUMERIC: ("price", lambda wrong: wrong, NotFinite),
    FeatureKind.EMBEDDING: ("poster", lambda wrong: [0.5] * 3 + [wrong] + [0.5] * 4, NotFinite),
    FeatureKind.WEIGHTED_ID_LIST: (
        "genre_affinity",
        lambda wrong: [{"id": 1, "weight": 0.5}, {"id": 2, "weight": wrong}],
        NotFinite,
    ),
    # Integers cannot be NaN: a column of floats is refused whole.
    FeatureKind.CATEGORICAL: ("gender", lambda wrong: wrong, WrongDataType),
    FeatureKind.ID_LIST: ("genres", lambda wrong: [1.0, wrong], WrongDataType),
    FeatureKind.ENCODED_EMBEDDING: ("user_embedding", lambda wrong: [1.0, wrong], WrongDataType),
}


@settings(deadline=None)
@given(st.sampled_from(FeatureKind), st.integers(0, ROWS - 1), ANY_NUMBER)
def test_what_is_not_finite_is_refused_in_every_kind(
    kind: FeatureKind, row: int, wrong: float
) -> None:
    name, value, error = OF_EACH_KIND[kind]
    assert {c.name: c.kind for c in SCHEMA.columns}[name] is kind
    column = pa.array([value(wrong if r == row else 0.5) for r in range(ROWS)])
    place = f"[{row}]" if error is NotFinite else ""
    refused(with_column(name, column), error, "row" if place else "holds", f".{name}{place}")


@pytest.mark.parametrize("kind", ["id", "weight"])
def test_a_null_inside_a_struct_is_refused(kind: str) -> None:
    values = TABLE["genre_affinity"].to_pylist()
    values[1] = [{"id": 1, "weight": 1.0} | {kind: None}]
    column = pa.array(values, TABLE.schema.field("genre_affinity").type)
    table = with_column("genre_affinity", column)
    refused(table, WrongDataType, "row 1: a null inside a list", ".genre_affinity[1]")


def test_numbers_that_do_not_fit_their_type_are_refused() -> None:
    large = pa.array([1.0, 1e300] + [0.0] * 4)
    refused(with_column("price", large), NotFinite, "row 1: 1e.?300", ".price[1]")
    ids = pa.array([1, 2**63] + [0] * 4, pa.uint64())
    refused(with_column("zip_code", ids), IdOutOfRange, "does not fit an int64", ".zip_code[1]")
    vectors = pa.array([[1.0] * 8] * 5 + [[1.0] * 7])
    refused(with_column("poster", vectors), WrongDataType, "row 5: a vector of 7", ".poster[5]")


def test_hashed_ids_are_any_number_but_the_padding() -> None:
    column = pa.array([[-1, 2**63 - 1], [-(2**63)]] + [[]] * 4)
    ids = decoded(with_column("watched", column)).arrays["watched"]
    assert ids[0].tolist() == [-1, 2**63 - 1, 0, 0, 0]
    assert ids[1].tolist() == [-(2**63), 0, 0, 0, 0]


@pytest.mark.parametrize(
    "stream", [b"", b"nonsense", arrow_stream(TABLE)[:200], arrow_stream(TABLE)[10:]]
)
def test_what_is_no_arrow_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(MalformedArrow, match="not a valid Arrow IPC stream"):
        decode(stream, SCHEMA, FIELD)


def test_offsets_that_point_elsewhere_are_refused() -> None:
    column = pa.array([[1], [2, 3], [4], [5], [6], [7]])
    stream = arrow_stream(with_column("genres", column))
    offsets = np.array([0, 1, 3, 4, 5, 6, 7], np.int32).tobytes()
    wrong = np.array([0, 1, 3, 4, 5, 6, 1_000_000], np.int32).tobytes()
    assert stream.count(offsets) == 1
    with pytest.raises(MalformedArrow, match="offset"):
        decode(stream.replace(offsets, wrong), SCHEMA, FIELD)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    stream = bytearray(arrow_stream(TABLE))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(AttributionError):
        assert decode(bytes(stream), SCHEMA, FIELD).count > 0


def test_members_of_a_group_have_columns_and_the_group_has_none() -> None:
    examples = Examples(GROUPED, random_examples(count=9, seed=2).arrays)
    table = arrow_table(examples)
    assert set(table.column_names) == set(SCHEMA.index)
    decoded = decode(arrow_stream(table), GROUPED, "batch")
    for name, array in examples.arrays.items():
        assert np.array_equal(decoded.arrays[name], array)
    wrong = table.rename_columns({"zip_code": "user_profile"})
    with pytest.raises(UnknownFeature, match=r"is a group .* zip_code, watched") as caught:
        decode(arrow_stream(wrong), GROUPED, "batch")
    assert caught.value.field == "batch.user_profile"
    with pytest.raises(MissingFeature, match="'zip_code' has no column"):
        decode(arrow_stream(table.drop_columns(["zip_code"])), GROUPED, "batch")
