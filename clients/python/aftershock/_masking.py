"""Lists of ids without some of them, in the forms that models are fed with.

A list that loses its last id becomes the empty list, as in an example that never had one: an array
of no elements, a pair of no ids and no weights, an offset that is its neighbour's.
"""

from collections.abc import Callable, Sequence
from typing import Any

from aftershock._ids import Ids, NotIds


def without(value: Any, masked: Ids) -> Any:
    """Return a value without the masked ids; the same object if it holds none of them.

    Args:
        value: of one example: a sequence or array of ids, or a pair `(ids, weights)`; of a batch: a
            list of those, None where one is missing, or an Arrow array of lists, be it of ids or
            of structs with a field `id`.

    Raises:
        NotIds: it is none of these.
    """
    if value is None:
        return None
    if type(value).__module__.partition(".")[0] == "pyarrow":
        # Whoever passes one has Arrow; nobody else needs it.
        from aftershock._masking_arrow import without_in  # noqa: PLC0415

        return without_in(value, masked)
    if _is_pair(value):
        return _of_pair(value, masked)
    if hasattr(value, "dtype") and value.dtype != object:
        return _of_array(value, masked)
    if not _is_list(value):
        raise NotIds(f"a {type(value).__name__} is no list of ids")
    first = next((each for each in value if each is not None), None)
    if first is None or _is_id(first):
        return _of_sequence(value, masked)
    return _of_batch(value, masked)


def _is_id(value: Any) -> bool:
    # Arrays have an __index__, too, for the case of one element.
    return hasattr(value, "__index__") and not hasattr(value, "__len__")


def _is_list(value: Any) -> bool:
    return (isinstance(value, Sequence) and not isinstance(value, str | bytes)) or hasattr(
        value, "dtype"
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_list, value))


def _of_sequence(value: Any, masked: Ids) -> Any:
    kept = [each for each in value if each not in masked]
    return value if len(kept) == len(value) else _like(value)(kept)


def _like(value: Any) -> Callable[[list[Any]], Any]:
    return tuple if isinstance(value, tuple) else list


def _of_batch(value: Any, masked: Ids) -> Any:
    rows = [without(each, masked) for each in value]
    if all(after is before for after, before in zip(rows, value, strict=True)):
        return value
    if not hasattr(value, "dtype"):
        return _like(value)(rows)
    batch = value.copy()
    for row, each in enumerate(rows):
        batch[row] = each
    return batch


def _of_array(value: Any, masked: Ids) -> Any:
    if value.ndim != 1 or value.dtype.kind not in "iu":
        raise NotIds(f"an array of {value.dtype} and shape {list(value.shape)} is no list of ids")
    kept = [each not in masked for each in value.tolist()]
    return value if all(kept) else value[kept]


def _of_pair(pair: Any, masked: Ids) -> Any:
    ids, weights = pair
    kept = [each not in masked for each in (ids.tolist() if hasattr(ids, "dtype") else ids)]
    return pair if all(kept) else (_at(ids, kept), _at(weights, kept))


def _at(values: Any, kept: list[bool]) -> Any:
    if hasattr(values, "dtype"):
        return values[kept]
    return _like(values)([each for each, keep in zip(values, kept, strict=True) if keep])
