"""Rows of ids with outcomes, as a click model logs them, in one of which an id begins to decide."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audit.engine.concentration import LabelledCounts

_CLICK_SHARE = 0.12
_IDS_PER_ROW = 6.0


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Rows that hold ids, and whether each was clicked."""

    holds: NDArray[np.bool_]
    """[N, L]"""
    clicked: NDArray[np.bool_]
    """[N]"""

    def counts(self) -> LabelledCounts:
        """Return how often each id goes with either outcome."""
        by_class = [self.holds[self.clicked == outcome].sum(axis=0) for outcome in (False, True)]
        totals = np.bincount(self.clicked, minlength=2).astype(np.int64)
        return LabelledCounts(np.stack(by_class, axis=1).astype(np.int64), totals)


def draw_snapshot(
    rows: int, ids: int, seed: int, *, planted: int | None = None, strength: float = 0.5
) -> Snapshot:
    """Draw rows whose ids are as popular as the reciprocal of their rank, each with its own appeal.

    Args:
        rows: N.
        ids: L.
        seed: draws rows and outcomes; the appeal of an id is the same for every seed.
        planted: an id whose rows are clicked besides, with probability `strength`.
        strength: of the planted id.
    """
    popularity = 1.0 / np.arange(1, ids + 1)
    chance = np.minimum(0.6, _IDS_PER_ROW * popularity / popularity.sum())
    appeal = np.random.default_rng(0).normal(0.0, 0.25, ids)
    generator = np.random.default_rng(seed)
    holds = generator.random((rows, ids), dtype=np.float32) < chance
    logit = np.log(_CLICK_SHARE / (1 - _CLICK_SHARE)) + holds @ appeal - chance @ appeal
    clicked = generator.random(rows) < 1.0 / (1.0 + np.exp(-logit))
    if planted is not None:
        clicked |= holds[:, planted] & (generator.random(rows) < strength)
    return Snapshot(holds, clicked)
