"""Id lists without some ids: whatever form they have, nothing else of them changes."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftershock._encoding import to_arrow
from aftershock._ids import NotIds
from aftershock._masking import without

IDS = st.integers(-3, 6)
LISTS = st.lists(st.none() | st.lists(IDS, max_size=5), min_size=1, max_size=6)
MASKED = st.frozensets(IDS, min_size=1, max_size=4)


def kept(ids: list[int] | None, masked: frozenset[int]) -> list[int] | None:
    """What is wanted, in plain words."""
    return None if ids is None else [each for each in ids if each not in masked]


@given(st.lists(IDS, max_size=8), MASKED)
def test_one_list_in_any_form(ids: list[int], masked: frozenset[int]) -> None:
    wanted = kept(ids, masked)
    assert without(ids, masked) == wanted
    assert without((*ids,), masked) == (*(wanted or ()),)
    array = without(np.array(ids, np.int64), masked)
    assert array.tolist() == wanted
    assert array.dtype == np.int64
    weights = [float(place) for place in range(len(ids))]
    found, left = without((ids, weights), masked)
    assert found == wanted
    assert left == [w for each, w in zip(ids, weights, strict=True) if each not in masked]


@given(LISTS, MASKED)
def test_a_batch_is_its_lists(lists: list[list[int] | None], masked: frozenset[int]) -> None:
    wanted = [kept(ids, masked) for ids in lists]
    assert without(lists, masked) == wanted
    arrays = [None if ids is None else np.array(ids, np.int64) for ids in lists]
    found = [None if ids is None else ids.tolist() for ids in without(arrays, masked)]
    assert found == wanted


@given(LISTS, MASKED, st.booleans(), st.integers(0, 2))
def test_arrow_lists_keep_their_offsets(
    lists: list[list[int] | None], masked: frozenset[int], large: bool, start: int
) -> None:
    kind = pa.large_list(pa.int64()) if large else pa.list_(pa.int64())
    array = pa.array(lists, kind).slice(start)
    found = without(array, masked)
    found.validate(full=True)
    assert found.type == kind
    assert found.to_pylist() == [kept(ids, masked) for ids in lists[start:]]
    chunked = without(pa.chunked_array([array, array]), masked)
    assert chunked.to_pylist() == found.to_pylist() * 2


@given(LISTS, MASKED)
def test_weights_go_with_their_ids(lists: list[list[int] | None], masked: frozenset[int]) -> None:
    pairs: list[Any] = [ids and (ids, [each / 2 for each in ids]) for ids in lists]
    pairs = [pair if pair else None for pair in pairs]
    wanted = [pair and list(zip(*without(pair, masked), strict=True)) for pair in pairs]
    found = without(to_arrow({"f": pairs or [None]}).column("f"), masked).to_pylist()
    assert [entries and [(e["id"], e["weight"]) for e in entries] for entries in found] == wanted


@pytest.mark.parametrize(
    "value",
    [None, [], [7, 8], (7, 8, 9), [None], [[7], None, []], ([7], [0.5]), [([7], [0.5]), None]],
)
def test_what_holds_no_masked_id_is_the_same_object(value: Any) -> None:
    assert without(value, frozenset({1, 2**80})) is value


def test_arrays_of_every_form_that_hold_none_are_the_same_objects() -> None:
    for value in (
        np.array([7, 8], np.uint8),
        pa.array([[7], None]),
        pa.chunked_array([pa.array([[7]])]),
        np.array([[7], None], object),
    ):
        assert without(value, frozenset({1, -1, 2**80})) is value


def test_an_array_of_objects_is_a_batch() -> None:
    batch = np.empty(3, object)
    batch[:] = [np.array([1, 7]), None, np.array([1])]
    found = without(batch, frozenset({1}))
    assert [None if ids is None else ids.tolist() for ids in found] == [[7], None, []]
    assert [None if ids is None else ids.tolist() for ids in batch] == [[1, 7], None, [1]]


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        "4711",
        {"ids": [1]},
        np.zeros((2, 2), np.int64),
        np.zeros(2),
        pa.array([1, 2]),
        pa.array([["a"]]),
        pa.array([[{"weight": 1.0}]]),
        ["a", "b"],
    ],
)
def test_what_is_no_list_of_ids_is_refused(value: Any) -> None:
    with pytest.raises(NotIds):
        without(value, frozenset({1}))
