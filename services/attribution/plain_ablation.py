"""Ablation by running the model on ablated examples: correct for any model, and simple."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.ablation import Ablations
from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.compilation import Explanation, Fallback, Route
from services.attribution.domain.errors import NotFinite
from services.attribution.domain.example import Examples
from services.attribution.domain.logit import same_but_for_rounding
from services.attribution.ports import Predictor
from services.attribution.predict import Predict

ROUNDINGS = 4.0
"""Logits that differ by no more float32 roundings than this are the same: no effect.

Small models with every kind of join differ from themselves by up to four when a batch's shape
changes, and nothing here depends on the batch's shape: it is a margin, not a trade.
"""

_COMMON = 0.5
"""A feature present in this share of examples is ablated in all, so that blocks look alike."""


@dataclass(frozen=True)
class Pairs:
    """(example, feature) pairs, those of one feature together."""

    rows: NDArray[np.intp]
    features: NDArray[np.intp]


@dataclass(frozen=True)
class PlainAblation:
    """Runs the model on blocks of rows, each with one feature ablated.

    For a zero to mean "no effect", what does not depend on the ablated feature must come out the
    same, bit by bit. So every run has exactly `block_examples` rows, and is compared with a run on
    the same rows in the same places with nothing ablated, which blocks of the same rows share.
    """

    predictor: Predictor
    block_examples: int

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint whose features are ablated."""
        return self.predictor.checkpoint

    @property
    def explanation(self) -> Explanation:
        """Return that the whole model runs for each present pair: one run counts as one."""
        count = len(self.checkpoint.schema.features)
        whole = Fallback("model", type(self.predictor).__name__, "its steps are not known")
        route = Route(count, (), delta_steps=0, rerun_steps=1, fallbacks=(whole,), operations=1.0)
        return Explanation(count, 0, (route,), operations_forward=1.0, unknown=())

    def ablate(self, examples: Examples, features: NDArray[np.bool_] | None = None) -> Ablations:
        """Return the logits and by how much ablating each of the features (None: all) changes them.

        Raises:
            NotFinite: a prediction is NaN or infinite.
        """
        everything = np.ones(len(examples.schema.features), dtype=np.bool_)
        wanted = everything if features is None else features
        logits = Predict(self.predictor, self.block_examples)(examples)
        rows, which, deltas = [], [], []
        for start in range(0, examples.count, self.block_examples):
            stop = min(start + self.block_examples, examples.count)
            chunk = examples.take(np.arange(start, stop))
            pairs = _pairs_of(chunk, wanted)
            found = self._deltas(chunk, pairs)
            effective = found != 0
            rows.append(start + pairs.rows[effective])
            which.append(pairs.features[effective])
            deltas.append(found[effective])
        return _by_feature(
            logits,
            Pairs(np.concatenate(rows), np.concatenate(which)),
            np.concatenate(deltas),
            len(examples.schema.features),
        )

    def _deltas(self, chunk: Examples, pairs: Pairs) -> NDArray[np.float64]:
        # Whole copies of the chunk in each block: those of common features share their rows.
        size = self.block_examples // chunk.count * chunk.count
        deltas = np.zeros(len(pairs.rows))
        shared_rows, before = np.empty(0, dtype=np.intp), np.empty(0)
        for start in range(0, len(pairs.rows), size):
            here = Pairs(pairs.rows[start : start + size], pairs.features[start : start + size])
            block = chunk.take(here.rows).padded(self.block_examples)
            if not np.array_equal(here.rows, shared_rows):
                shared_rows, before = here.rows, self._logits(block, len(here.rows))
            _ablate(block, here)
            after = self._logits(block, len(here.rows))
            _check_finite(after, here, chunk)
            deltas[start : start + size] = self._change(before, after)
        return deltas

    def _logits(self, block: Examples, count: int) -> NDArray[np.float64]:
        return self.predictor.logits(block)[:count].astype(np.float64)

    def _change(
        self, before: NDArray[np.float64], after: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        same = same_but_for_rounding(before, after, self.checkpoint.output, ROUNDINGS)
        return np.where(same, 0.0, after - before)


def _pairs_of(chunk: Examples, wanted: NDArray[np.bool_]) -> Pairs:
    """Return the pairs to ablate: common features first, which are ablated in every example."""
    everyone = np.arange(chunk.count)
    common = []
    rare = [(everyone[:0], everyone[:0])]
    for j in np.flatnonzero(wanted):
        present = chunk.present(chunk.schema.features[j])
        if present.mean() >= _COMMON:
            common.append((everyone, np.full(chunk.count, j)))
        else:
            rare.append((np.flatnonzero(present), np.full(present.sum(), j)))
    return Pairs(
        np.concatenate([rows for rows, _ in common + rare]),
        np.concatenate([features for _, features in common + rare]),
    )


def _ablate(block: Examples, pairs: Pairs) -> None:
    """Ablate in each row of the block its own feature."""
    bounds = np.flatnonzero(np.diff(pairs.features)) + 1
    starts = [0, *bounds.tolist()]
    stops = [*bounds.tolist(), len(pairs.features)]
    for start, stop in zip(starts, stops, strict=True):
        feature = block.schema.features[pairs.features[start]]
        block.ablate_rows(feature, slice(start, stop))


def _check_finite(logits: NDArray[np.float64], pairs: Pairs, chunk: Examples) -> None:
    wrong = np.flatnonzero(~np.isfinite(logits))
    if len(wrong):
        feature = chunk.schema.features[pairs.features[wrong[0]]]
        raise NotFinite(
            f"the model predicts {logits[wrong[0]]} once feature {feature.name!r} is at its "
            "baseline: the program must answer every input with a finite number"
        )


def _by_feature(
    logits: NDArray[np.float64], pairs: Pairs, deltas: NDArray[np.float64], feature_count: int
) -> Ablations:
    order = np.lexsort((pairs.rows, pairs.features))
    counts = np.bincount(pairs.features, minlength=feature_count)
    return Ablations(
        logits=logits,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32),
        example_indices=pairs.rows[order].astype(np.uint32),
        deltas=deltas[order],
    )
