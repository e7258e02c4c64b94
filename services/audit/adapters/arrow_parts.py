"""Examples in parts that fit into messages."""

import pyarrow as pa


def parts_of(stream: bytes, most_rows: int, most_bytes: int) -> list[bytes]:
    """Return the rows of an Arrow IPC stream as streams of their own, in order.

    None has more than `most_rows`, nor, unless it is a single row, much more than `most_bytes`.
    """
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all().combine_chunks()
    by_bytes = most_bytes * len(table) // max(1, len(stream))
    size = max(1, min(most_rows, by_bytes))
    return [stream_of(table.slice(start, size)) for start in range(0, len(table), size)]


def stream_of(table: pa.Table) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
