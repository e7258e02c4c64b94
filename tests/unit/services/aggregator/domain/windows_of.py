"""Summaries of windows whose LFIs and values are drawn from given distributions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.checkpoint import Feature, FeatureKind
from services.aggregator.domain.profile import profile_of
from services.aggregator.domain.sketch import Ragged, Sketch
from services.aggregator.domain.summary import Summary, summarise

EXAMPLES = 400


@dataclass(frozen=True)
class Drawn:
    """How one numeric feature is drawn: its values, and how much the model makes of them."""

    importance: float = 0.1
    mean: float = 3.0
    coverage: float = 0.9


@dataclass(frozen=True)
class World:
    """Features that wander from window to window, each by its own habit."""

    features: Sequence[Drawn]
    wander: float = 0.05
    changes: Mapping[int, Drawn] = field(default_factory=dict)

    def broken(self, place: int, **changes: float) -> "World":
        """The world with one feature drawn otherwise."""
        changed = replace(self.features[place], **changes)
        return replace(self, changes={**self.changes, place: changed})

    @property
    def schema(self) -> list[Feature]:
        """Numeric features f0, f1, ..."""
        return [Feature(f"f{j}", FeatureKind.NUMERIC) for j in range(len(self.features))]

    def summary(self, seed: int) -> Summary:
        """What is kept of the window with that seed."""
        rng = np.random.default_rng(seed)
        lfis, values = [], []
        for j, usual in enumerate(self.features):
            drawn = self.changes.get(j, usual)
            mean = drawn.mean * (1 + self.wander * rng.standard_normal())
            scale = drawn.importance * (1 + self.wander * rng.standard_normal())
            present = rng.random(EXAMPLES) < drawn.coverage
            value = np.where(present, mean + rng.standard_normal(EXAMPLES), 0.0)
            lfis.append(scale * (value - value.mean()) * present)
            values.append(value)
        pane = _pane(np.array(lfis), np.array(values), rng)
        return summarise([pane], len(self.features), f"w{seed}", resamples=20)


def wandering(count: int) -> World:
    """Features of falling importance, down to those that the model ignores."""
    return World([Drawn(importance=0.2 * 0.8**j, mean=2.0 + j % 5) for j in range(count)])


def with_values(summary: Summary, values: NDArray[np.float64]) -> Summary:
    """The summary with these values of its features, [M, N]."""
    pane = _pane(np.ones_like(values), values, np.random.default_rng(0))
    return replace(summary, profile=profile_of([pane]))


def _pane(lfis: NDArray[np.float64], values: NDArray[np.float64], rng: np.random.Generator) -> Pane:
    columns = [column[column != 0].astype(np.float32) for column in lfis]
    predictions = rng.random(values.shape[1]) * 0.1 + lfis.sum(axis=0)
    return Pane(
        population=Population.DISPLAYED,
        example_count=values.shape[1],
        offsets=np.cumsum([0, *map(len, columns)]).astype(np.uint32),
        values=np.concatenate(columns),
        sketch=_sketch(values, predictions),
    )


def _sketch(values: NDArray[np.float64], predictions: NDArray[np.float64]) -> Sketch:
    rows = []
    for value in values:
        bits = value[value != 0].astype(np.float32).view(np.uint32)
        magnitudes = ((bits & np.uint32(0x7FFF_FFFF)) >> np.uint32(20)).astype(np.int16)
        rows.append(np.unique(np.where(bits >> 31, -magnitudes, magnitudes), return_counts=True))
    offsets = np.cumsum([0, *(len(keys) for keys, _ in rows)]).astype(np.uint32)
    deviations = predictions - predictions.mean()
    means = values.mean(axis=1)
    apart = values - means[:, np.newaxis]
    empty = Ragged(np.zeros(1, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32))
    return Sketch(
        baseline_counts=np.count_nonzero(values == 0, axis=1).astype(np.uint32),
        buckets=Ragged(
            offsets,
            np.concatenate([keys for keys, _ in rows]).astype(np.int16),
            np.concatenate([counts for _, counts in rows]).astype(np.uint32),
        ),
        hitters=empty,
        moments=np.stack([means, (apart**2).sum(axis=1), apart @ deviations], axis=1),
        prediction_mean=float(predictions.mean()),
        prediction_squares=float((deviations**2).sum()),
    )
