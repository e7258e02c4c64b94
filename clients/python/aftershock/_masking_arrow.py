"""Arrow arrays of id lists without some ids. Needs the extra `arrow`."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aftershock._ids import Ids, NotIds


def without_in(value: Any, masked: Ids) -> Any:
    """Return an array of lists, of ids or of structs with a field `id`, without the masked ids.

    The same object if it holds none of them; a list that is missing stays so.

    Raises:
        NotIds: it is another array.
    """
    if isinstance(value, pa.ChunkedArray):
        # Each look at them makes new objects.
        before = value.chunks
        chunks = [without_in(chunk, masked) for chunk in before]
        same = all(now is was for now, was in zip(chunks, before, strict=True))
        return value if same else pa.chunked_array(chunks, value.type)
    if value.null_count == len(value):
        return value
    ids = _ids(value)
    if not len(ids):
        return value
    if not pa.types.is_integer(ids.type):
        raise NotIds(f"an Arrow array of {value.type} is no list of ids")
    hit = pc.is_in(ids, value_set=pa.array(_held(ids.type, masked), ids.type))
    kept = ~hit.to_numpy(zero_copy_only=False)
    return value if kept.all() else _rebuilt(value, kept)


def _ids(value: Any) -> Any:
    kind = getattr(value, "type", None)
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise NotIds(f"an Arrow array of {kind} is no list of ids")
    entries = value.flatten()
    if not pa.types.is_struct(entries.type):
        return entries
    if entries.type.get_field_index("id") < 0:
        raise NotIds(f"an Arrow array of {kind} has no field id")
    return entries.field("id")


def _held(kind: Any, masked: Ids) -> list[int]:
    """Return the ids that an integer type can hold: no array of it has the others."""
    limits = np.iinfo(kind.to_pandas_dtype())
    return [each for each in masked if limits.min <= each <= limits.max]


def _rebuilt(value: Any, kept: Any) -> Any:
    """Return the array with the kept entries, each list as long as what it keeps."""
    is_small = pa.types.is_list(value.type)
    lengths = np.asarray(value.value_lengths().fill_null(0))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    before = np.concatenate([[0], np.cumsum(kept)])
    offsets = pa.array(before[ends], pa.int32() if is_small else pa.int64())
    build = pa.ListArray if is_small else pa.LargeListArray
    entries = value.flatten().filter(pa.array(kept))
    return build.from_arrays(offsets, entries, type=value.type, mask=value.is_null())
