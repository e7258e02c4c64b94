"""Panes of a large window folded into one: how often each magnitude occurs, to eight bits of it.

A value's bucket is its sign and the leading fifteen bits of its float32, so its middle is within
2^-8 of each of its values, 0.4 %, and never zero. A window's median of folded values is within 2^-8
of the exact one, and so is a GFI; coverage stays exact. Counts add up: what comes out does not
depend on which panes are folded together, or when. Only the frequent ids do, for a fold keeps the
MOST_HITTERS most frequent of each distribution.

A feature has 65,024 buckets at most; LFIs that spread over ten octaves fill a few thousand.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane, Population
from services.aggregator.domain.merging import Merged

MOST_RELATIVE_ERROR = 2.0**-8
MOST_HITTERS = 256
"""Ids of a distribution that a fold keeps."""
_BUCKET_BITS = 16
_BUCKET = (1 << _BUCKET_BITS) - 1
_MIDDLE = np.uint32(1 << (_BUCKET_BITS - 1))


def fold(panes: Sequence[Pane]) -> list[Pane]:
    """Return one pane for each population, and apart those with sketches and those without."""
    groups = [
        [p for p in panes if p.population is population and (p.sketch is None) is sketchless]
        for population, sketchless in product(Population, (False, True))
    ]
    return [_folded(group) for group in groups if group]


def _folded(panes: Sequence[Pane]) -> Pane:
    keys, counts = _added([_counted(pane) for pane in panes])
    lengths = np.bincount(keys >> _BUCKET_BITS, minlength=panes[0].feature_count)
    sketched = [(pane.example_count, pane.sketch) for pane in panes if pane.sketch is not None]
    values = ((keys & _BUCKET) << _BUCKET_BITS).astype(np.uint32) | _MIDDLE
    return Pane(
        population=panes[0].population,
        example_count=sum(pane.example_count for pane in panes),
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.uint32),
        values=values.view(np.float32),
        sketch=Merged.of(sketched).sketch(MOST_HITTERS) if sketched else None,
        counts=counts.astype(np.uint32),
    )


def _counted(pane: Pane) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return feature and bucket of the pane's entries, rising, and how often each occurs."""
    offsets = pane.offsets.astype(np.int64)
    features = np.repeat(np.arange(pane.feature_count), offsets[1:] - offsets[:-1])
    buckets = (pane.values.view(np.uint32) >> np.uint32(_BUCKET_BITS)).astype(np.int64)
    keys = (features << _BUCKET_BITS) | buckets
    if pane.counts is not None:
        return keys, pane.counts.astype(np.int64)
    keys.sort()
    return _added([(keys, np.ones(len(keys), dtype=np.int64))])


def _added(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all keys once, rising, and their counts added up."""
    keys = np.concatenate([keys for keys, _ in parts])
    counts = np.concatenate([counts for _, counts in parts])
    if not len(keys):
        return keys, counts
    # Each part is sorted, and merging sorted parts is what a stable sort does quickly.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    firsts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[firsts], np.add.reduceat(counts[order], firsts)
