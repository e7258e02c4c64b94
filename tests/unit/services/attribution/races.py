"""Races over LFIs that are known already, and the full answer that they are held against."""

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.racing import Outcome, Race, Racing, Standing

Matrix = NDArray[np.float32]


def sparse(lfis: Matrix) -> tuple[NDArray[np.uint32], Matrix]:
    """Return the non-zero values by feature."""
    by_feature = lfis.T
    counts = np.count_nonzero(by_feature, axis=1)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32), by_feature[by_feature != 0]


def step(race: Race, lfis: Matrix) -> Standing:
    """Count LFIs, [examples, features], of the features that are racing."""
    offsets, values = sparse(np.where(race.racing, lfis, np.float32(0)))
    race.count(len(lfis), offsets, values, np.count_nonzero(lfis, axis=0))
    return race.standing()


def run(lfis: Matrix, rule: Racing, batch: int = 500) -> Standing:
    race = Race(rule, lfis.shape[1])
    for start in range(0, len(lfis), batch):
        standing = step(race, lfis[start : start + batch])
    return standing


def full_gfi(lfis: Matrix) -> NDArray[np.float64]:
    """Return equations 3 and 4 over everything."""
    return np.array([np.median(np.abs(c[c != 0])) * np.mean(c != 0) for c in lfis.T])


def left(standing: Standing) -> set[int]:
    wanted = (Outcome.TOP, Outcome.OPEN)
    return {j for j, outcome in enumerate(standing.outcomes) if outcome in wanted}


def first(standing: Standing, top_k: int) -> set[int]:
    """Return the features that a race names first: of those left, the ones of largest GFI."""
    return set(sorted(left(standing), key=lambda j: -float(standing.gfi[j]))[:top_k])


def is_right(standing: Standing, gfi: NDArray[np.float64], top_k: int) -> bool:
    """Return whether a race found the features of largest GFI, or has not put any of them out."""
    top = set(np.argsort(-gfi)[:top_k].tolist())
    return left(standing) == top if standing.is_settled else top <= left(standing)
