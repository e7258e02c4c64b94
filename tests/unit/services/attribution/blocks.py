"""Small blocks."""

from dataclasses import replace
from datetime import timedelta

import numpy as np

from services.attribution.domain.block import Batch, LfiBlock, Population
from services.attribution.domain.lfi import LfiMethod, SparseLfi
from services.attribution.domain.sketch import Sketcher
from tests.checkpoints import random_examples
from tests.unit.services.attribution.predictors import FORMULA


def block(block_id: str, *, digest: str = "a", version: str = "1") -> LfiBlock:
    """Return a block of two examples and one entry."""
    lfi = SparseLfi(
        offsets=np.array([0] * 5 + [1] * 9, dtype=np.uint32),
        example_indices=np.array([1], dtype=np.uint32),
        values=np.array([0.25], dtype=np.float32),
        predictions=np.array([0.5, 0.75], dtype=np.float32),
    )
    sketcher = Sketcher(FORMULA.schema)
    event_time = FORMULA.trained_until + timedelta(hours=1)
    return LfiBlock(
        Batch(block_id, Population.DISPLAYED, event_time, b"arrow"),
        replace(FORMULA, digest=digest * 64, version=version),
        LfiMethod.RELATIVE,
        lfi,
        sketcher(random_examples(FORMULA.schema, 2)).sketch(lfi.predictions),
    )
