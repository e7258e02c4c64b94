from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.aggregator.domain.block import Block
from services.aggregator.domain.errors import MalformedBlock, NotFinite
from tests.unit.services.aggregator.worlds import block

GOOD = block(np.array([[1, 0], [2, -3], [0, 4]], dtype=np.float32))


def u32(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint32)


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_pane_keeps_the_entries_by_feature() -> None:
    pane = GOOD.pane
    assert pane.example_count == 3
    assert pane.feature_count == GOOD.feature_count == 2
    assert pane.offsets.tolist() == [0, 2, 4]
    assert pane.values.tolist() == [1, 2, -3, 4]


def test_a_block_without_any_importance_is_good() -> None:
    empty = block(np.zeros((2, 3), dtype=np.float32))
    assert empty.pane.offsets.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("field", "array"),
    [
        ("offsets", u32(1, 2, 4)),
        ("offsets", u32(0, 3, 2, 4)),
        ("offsets", u32(0, 2, 5)),
        ("offsets", u32(0)),
        ("offsets", u32()),
        ("indices", u32(0, 1, 1)),
        ("indices", u32(1, 0, 1, 2)),
        ("indices", u32(0, 0, 1, 2)),
        ("indices", u32(0, 1, 1, 3)),
        ("values", f32(1, 2, 0, 4)),
        ("predictions", f32(0.5, 0.5)),
        ("predictions", f32(0.5, 0.5, 1.5)),
        ("predictions", f32(0.5, 0.5, -0.5)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(field: str, array: Any) -> None:
    with pytest.raises(MalformedBlock) as caught:
        replace(GOOD, **{field: array})
    assert field in str(caught.value.field)


@pytest.mark.parametrize("field", ["values", "predictions"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(field: str, number: float) -> None:
    array: Any = getattr(GOOD, field).copy()
    array[1] = number
    with pytest.raises(NotFinite) as caught:
        replace(GOOD, **{field: array})
    assert caught.value.field == f"block.{field}"


def test_indices_may_start_anew_with_each_feature() -> None:
    again: Block = replace(GOOD, indices=u32(1, 2, 0, 1))
    assert again.indices.tolist() == [1, 2, 0, 1]
