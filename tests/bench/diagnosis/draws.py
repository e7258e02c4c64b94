"""Which features break, and how: the paper's cases on random features, and harmless drifts.

Beside the paper's eleven there are the drill's own cases, of which nothing was chosen by their
outcome: how diagnosis does on faults that it was not made for.

A case's features are drawn again while one of them hardly changes: a cube of zeros and ones, or
a feature that is missing anyway, is no corruption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clients.drill.columns import whole
from clients.drill.corruptions import Corruption, Drop, LoseIds, Scale
from clients.drill.paper_cases import VICTIM_KINDS, paper_case
from clients.drill.pipeline_cases import CASES, PAPER
from clients.drill.schema import LISTS, Feature, FeatureKind, Schema

GROUPS: Mapping[str, Sequence[str]] = {
    "paper": tuple(PAPER),
    "pipeline": tuple(name for name in CASES if name not in PAPER),
}
DRIFTS = 10
_LEAST_CHANGED = 0.01
_MOST_DRAWS = 100
_LOOKED_AT = 400
_BROKEN: Mapping[int, int] = {4: 3, 5: 3, 11: 2}
_DRIFT_SHARE, _DRIFT_FACTOR = 0.3, 1.25


@dataclass(frozen=True)
class Draw:
    """A corruption, and what drifts beside it without doing harm."""

    corruption: Corruption
    drifts: Corruption


def draw(
    case: str, schema: Schema, table: pa.Table, gfi: NDArray[np.float64], seed: Sequence[int]
) -> Draw:
    """Draw the case's features, and ten others of the lower half by importance that drift.

    gfi: [M] of the control. The same seed draws the same.
    """
    rng = np.random.default_rng((*seed, *case.encode()))
    for _ in range(_MOST_DRAWS):
        corruption = _corruption(case, schema, gfi, rng)
        if changes_all(corruption, table):
            break
    names = np.array(schema.names())
    quiet = names[(gfi < np.median(gfi)) & ~np.isin(names, corruption.culprits)]
    drifting = rng.choice(quiet, min(DRIFTS, len(quiet)), replace=False)
    drifts = [_drift(schema.feature(str(name))) for name in drifting]
    return Draw(corruption, reduce(and_, drifts))


def _corruption(
    case: str, schema: Schema, gfi: NDArray[np.float64], rng: np.random.Generator
) -> Corruption:
    seed = int(rng.integers(1000))
    if case not in PAPER:
        return CASES[case].corruption(schema, seed, {})
    number = int(case)
    return paper_case(number, schema, seed, victims=_victims(number, schema, gfi, rng))


def changes_all(corruption: Corruption, table: pa.Table) -> bool:
    """Whether each culprit changes in one in a hundred examples or more."""
    some = table.slice(0, _LOOKED_AT)
    broken = corruption.apply(some).table
    return all(_changed(some, broken, name) >= _LEAST_CHANGED for name in corruption.culprits)


def _changed(before: pa.Table, after: pa.Table, name: str) -> float:
    pairs = zip(whole(before[name]).to_pylist(), whole(after[name]).to_pylist(), strict=True)
    return float(np.mean([one != other for one, other in pairs]))


def _victims(
    case: int, schema: Schema, gfi: NDArray[np.float64], rng: np.random.Generator
) -> tuple[str, ...]:
    names = np.array(schema.names())
    if case in (6, 7):
        ranked = names[np.argsort(-gfi)]
        important = rng.choice(ranked[: len(names) // 10], 2, replace=False)
        return tuple(map(str, [*important, *rng.choice(ranked[len(names) // 2 :], 2, False)]))
    if case in VICTIM_KINDS:
        names = np.array(schema.names(VICTIM_KINDS[case]))
    return tuple(map(str, rng.choice(names, _BROKEN.get(case, 1), replace=False)))


def _drift(feature: Feature) -> Corruption:
    """What happens to features by themselves: more of it, less of it, seen less often."""
    if feature.kind is FeatureKind.NUMERIC:
        return Scale(feature.name, factor=_DRIFT_FACTOR)
    if feature.kind in LISTS:
        return LoseIds(feature.name, share=_DRIFT_SHARE)
    return Drop((feature.name,), share=_DRIFT_SHARE)
