"""Blocks are dealt evenly, keep within their budget, and leave nothing out."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.attribution.engine.compiler import compiled
from services.attribution.engine.footprint import Footprint, dealt
from services.attribution.engine.program import AblationProgram, Limits
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES
from tests.unit.services.attribution.engine.exporting import checkpoint_of, exported, seeded
from tests.unit.services.attribution.engine.vectors import make_schema

SCHEMA = make_schema()


@pytest.mark.parametrize(
    ("examples", "workers", "sizes"),
    [(0, 2, []), (1, 2, [1]), (7, 2, [4, 3]), (9, 4, [3, 3, 3]), (600, 2, [256, 256, 88])],
)
def test_a_small_batch_is_dealt_out_evenly(examples: int, workers: int, sizes: list[int]) -> None:
    blocks = dealt(np.ones(examples), workers, rows=256, budget=1 << 30)
    assert [b.stop - b.start for b in blocks] == sizes


@given(
    needs=st.lists(st.floats(0, 100), min_size=1, max_size=60),
    workers=st.integers(1, 4),
    rows=st.integers(1, 20),
    budget=st.integers(1, 300),
)
def test_every_row_is_in_one_block_within_the_budget(
    needs: list[float], workers: int, rows: int, budget: int
) -> None:
    blocks = dealt(np.array(needs), workers, rows, budget)
    assert blocks[0].start == 0
    assert blocks[-1].stop == len(needs)
    assert all(a.stop == b.start for a, b in pairwise(blocks))
    for block in blocks:
        size = block.stop - block.start
        assert 1 <= size <= rows
        assert size == 1 or sum(needs[block]) <= budget + 1e-6


def _program(name: str, limits: Limits) -> AblationProgram:
    module = seeded(ARCHITECTURES[name], SCHEMA)
    return compiled(exported(module, SCHEMA), checkpoint_of(SCHEMA), limits)


def test_a_full_rank_cross_layer_takes_more_for_a_pair_than_a_low_rank_one() -> None:
    full, low = (
        max(t.footprint.of_pair for t in _program(name, Limits()).trunks)
        for name in ("dcn_stacked", "dcn_stacked_low_rank")
    )
    assert full > 1.5 * low


@pytest.mark.parametrize("name", ["dcn_stacked", "norm_dcn", "dlrm", "opaque"])
def test_a_budget_changes_the_blocks_and_no_coverage(name: str) -> None:
    examples = random_examples(SCHEMA, 60, seed=3, absent=0.5)
    free, held = _program(name, Limits()), _program(name, Limits(block_bytes=40_000))
    everything = np.ones((len(SCHEMA.features), examples.count), dtype=np.bool_)
    assert len(held.blocks(everything)) > len(free.blocks(everything)) == 1
    whole, pieces = free.ablate(examples).dense(), held.ablate(examples).dense()
    np.testing.assert_array_equal(pieces != 0, whole != 0)
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


def test_needs_grow_with_the_pairs_of_a_row() -> None:
    needs = Footprint(of_row=10.0, of_pair=2.0).needs(np.array([0, 5]))
    np.testing.assert_array_equal(needs, [10.0, 20.0])
