"""Encodes examples that come as an Arrow IPC stream, one column per feature."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.attribution.adapters.arrow_columns import Column
from services.attribution.domain.checkpoint import Schema
from services.attribution.domain.errors import (
    EmptyBatch,
    MalformedArrow,
    MissingFeature,
    UnknownFeature,
)
from services.attribution.domain.example import Examples

MOST_EXAMPLES = 1_000_000
"""In one batch, as in the contract's LfiBlock."""


def decode(stream: bytes, schema: Schema, field: str) -> Examples:
    """Return the examples as the schema's program takes them.

    `field` is the path of the request field that holds the stream; errors name a value as
    `{field}.{column}[{row}]`.

    Raises:
        MalformedArrow: the bytes are not an Arrow IPC stream with one column per name.
        EmptyBatch: it has no rows.
        UnknownFeature, MissingFeature: its columns are not the schema's features.
        WrongDataType, NotFinite, ListTooLong, IdOutOfRange: a value does not fit its feature.
    """
    table = _table(stream, field)
    _check_names(table, schema, field)
    row, columns = schema.baseline_row(), dict(zip(table.column_names, table.columns, strict=True))
    arrays: dict[str, NDArray[np.generic]] = {}

    def absent(name: str) -> NDArray[np.generic]:
        return np.broadcast_to(row[name], (table.num_rows, *row[name].shape)).copy()

    for feature in schema.columns:
        column = Column(feature, schema.input_of(feature), f"{field}.{feature.name}")
        for name, values in column.encode(columns[feature.name]).items():
            if feature.column is None:
                arrays[name] = values
            else:
                if name not in arrays:
                    arrays[name] = absent(name)
                arrays[name][:, feature.column] = values
    return Examples(schema, {n: arrays[n] if n in arrays else absent(n) for n in row})


def _table(stream: bytes, field: str) -> pa.Table:
    try:
        with pa.ipc.open_stream(stream) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MalformedArrow(
            f"not a valid Arrow IPC stream ({error}): write it with pyarrow.ipc.new_stream", field
        ) from error
    if table.num_rows == 0:
        raise EmptyBatch("the batch has no examples: do not send empty batches", field)
    if table.num_rows > MOST_EXAMPLES:
        raise MalformedArrow(
            f"{table.num_rows} examples in one batch, and {MOST_EXAMPLES} are the most: split it",
            field,
        )
    return table


def _check_names(table: pa.Table, schema: Schema, field: str) -> None:
    names, wanted = table.column_names, {column.name for column in schema.columns}
    for name in names:
        if name not in wanted:
            raise UnknownFeature(_no_column(name, schema), f"{field}.{name}")
    known = set(names)
    if len(known) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedArrow(f"column {twice!r} appears twice", f"{field}.{twice}")
    missing = [c.name for c in schema.columns if c.name not in known]
    if missing:
        raise MissingFeature(
            f"feature {missing[0]!r} has no column ({len(missing)} missing): send a column of "
            "nulls if it is absent from all examples",
            f"{field}.{missing[0]}",
        )


def _no_column(name: str, schema: Schema) -> str:
    if name in schema.index:
        members = ", ".join(c.name for c in schema.features[schema.index[name]].members)
        return f"column {name!r} is a group of the checkpoint: send its members' columns, {members}"
    return (
        f"column {name!r} is no feature of the checkpoint: leave it out, or name the checkpoint "
        "that has it"
    )
