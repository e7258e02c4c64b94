"""Examples as Arrow IPC streams in chunks that one message holds. Needs the extra `arrow`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from aftershock._errors import InvalidExamples

MAX_CHUNK_EXAMPLES = 512
MAX_CHUNK_BYTES = 4 * 1024 * 1024
"""The contract's limit of ExampleBatch.arrow_stream."""


def count_examples(examples: Any) -> int:
    """Return how many rows a batch has, without encoding it."""
    if isinstance(examples, Mapping):
        return len(next(iter(examples.values()), ()))
    return int(examples.num_rows)


def encode(examples: Any, rows: Any = None) -> Iterator[tuple[bytes, int]]:
    """Return a batch as chunks: an Arrow IPC stream and how many examples it holds.

    A chunk has at most 512 examples and 4 MiB. `rows`, if given, are the examples to take.

    Raises:
        InvalidExamples: the batch has no encoding, or one example alone exceeds 4 MiB.
    """
    batch = to_arrow(examples)
    if batch.num_rows == 0:
        raise InvalidExamples("the batch is empty: send at least one example")
    if rows is not None:
        batch = batch.take(rows)
        if batch.num_rows == 0:
            return
    example_bytes = max(1, batch.nbytes // batch.num_rows)
    most = max(1, min(MAX_CHUNK_EXAMPLES, MAX_CHUNK_BYTES // example_bytes))
    for start in range(0, batch.num_rows, most):
        yield from _chunks(batch.slice(start, most))


def to_arrow(examples: Any) -> Any:
    """Return a batch as one pyarrow RecordBatch or Table.

    Raises:
        InvalidExamples: a column has no Arrow type, or another length than the others.
    """
    if isinstance(examples, pa.RecordBatch | pa.Table):
        return examples
    if not isinstance(examples, Mapping):
        raise InvalidExamples(
            f"a batch is a pyarrow RecordBatch or Table, or a dict of columns by feature; this is "
            f"a {type(examples).__name__}"
        )
    columns = {str(feature): _column(str(feature), v) for feature, v in examples.items()}
    lengths = {feature: len(column) for feature, column in columns.items()}
    if len(set(lengths.values())) > 1:
        wanted = next(iter(lengths.values()))
        odd = next(feature for feature, length in lengths.items() if length != wanted)
        raise InvalidExamples(
            f"feature {odd!r} has {lengths[odd]} rows and {next(iter(lengths))!r} has {wanted}: "
            "every column needs one row an example"
        )
    return pa.table(columns)


def _chunks(batch: Any) -> Iterator[tuple[bytes, int]]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write(batch)
    stream = sink.getvalue()
    if stream.size <= MAX_CHUNK_BYTES:
        yield stream.to_pybytes(), batch.num_rows
        return
    if batch.num_rows == 1:
        raise InvalidExamples(
            f"one example takes {stream.size} bytes and a message holds {MAX_CHUNK_BYTES}: "
            "shorten its lists"
        )
    half = batch.num_rows // 2
    yield from _chunks(batch.slice(0, half))
    yield from _chunks(batch.slice(half))


def _column(feature: str, values: Any) -> Any:
    try:
        if isinstance(values, pa.Array | pa.ChunkedArray):
            return values
        if isinstance(values, np.ma.MaskedArray):
            return pa.array(_widened(values.data), mask=np.ma.getmaskarray(values))
        if isinstance(values, np.ndarray) or hasattr(values, "__array__"):
            return _array(np.asarray(values))
        return _sequence(list(values))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InvalidExamples(f"feature {feature!r} cannot be encoded: {error}") from error


def _array(values: np.ndarray[Any, Any]) -> Any:
    if values.ndim == 1:
        return _sequence(list(values)) if values.dtype == object else pa.array(_widened(values))
    if values.ndim != 2:
        raise InvalidExamples(f"an array has shape [N] or [N, D], not {list(values.shape)}")
    if values.dtype == np.uint64:
        # The words of an encoded embedding: bits, not numbers.
        values = values.view(np.int64)
    words = np.issubdtype(values.dtype, np.integer)
    flat = np.ascontiguousarray(values, dtype=np.int64 if words else np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), values.shape[1])


def _sequence(values: list[Any]) -> Any:
    first = next((value for value in values if value is not None), None)
    if _is_pair(first):
        return _weighted_lists(values)
    if _is_list(first):
        return _lists(values)
    return pa.array(values)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_list, value))


def _widened(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Small integers and flags as int64, half floats as float32: types that schemas name."""
    if values.dtype == np.float16:
        return values.astype(np.float32)
    if values.dtype.kind in "biu" and values.dtype != np.uint64:
        return values.astype(np.int64)
    return values


def _lists(values: list[Any]) -> Any:
    lists = [None if value is None else np.asarray(value) for value in values]
    flat = _joined([ids for ids in lists if ids is not None], np.int64)
    return pa.ListArray.from_arrays(_offsets(lists), pa.array(flat))


def _weighted_lists(values: list[Any]) -> Any:
    pairs = [(None, None) if pair is None else pair for pair in values]
    ids = [None if one is None else np.asarray(one) for one, _ in pairs]
    weights = [np.asarray(one) for _, one in pairs if one is not None]
    if [len(one) for one in ids if one is not None] != [len(one) for one in weights]:
        raise InvalidExamples("a pair (ids, weights) needs as many weights as ids")
    entries = pa.StructArray.from_arrays(
        [
            pa.array(_joined([one for one in ids if one is not None], np.int64)),
            pa.array(_joined(weights, np.float32)),
        ],
        names=["id", "weight"],
    )
    return pa.ListArray.from_arrays(_offsets(ids), entries)


def _joined(arrays: list[np.ndarray[Any, Any]], dtype: type) -> np.ndarray[Any, Any]:
    """Concatenate, as `dtype` where nothing is lost; other types are for the schema to refuse."""
    filled = [array for array in arrays if len(array)]
    if not filled:
        return np.empty(0, dtype)
    joined = np.concatenate(filled)
    if joined.ndim != 1:
        raise InvalidExamples("a list holds numbers, not lists")
    return joined.astype(dtype) if _fits(joined.dtype, dtype) else joined


def _fits(dtype: np.dtype[Any], wanted: type) -> bool:
    same_kind = np.can_cast(dtype, wanted, casting="same_kind")
    return bool(same_kind) and dtype != np.uint64


def _offsets(lists: list[Any]) -> Any:
    """Return int32 [N + 1] starts of the lists; a null start marks a missing list."""
    ends = np.cumsum([0, *(0 if one is None else len(one) for one in lists)], dtype=np.int32)
    missing = np.array([*(one is None for one in lists), False])
    return pa.array(ends, mask=missing)
