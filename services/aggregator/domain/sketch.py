"""What the values of a batch looked like: counts that add up, moments that merge.

A number's bucket is its sign and the twelve leading bits of its float32: eight buckets an octave,
each at most an eighth as wide as its lower bound, so a bucket's middle is within a sixteenth of
each of its numbers. Bucket 0 holds zero and what is next to it; FURTHEST holds what is not finite.
An id's bucket is one of 64, by hash.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.errors import MalformedBlock, NotFinite
from services.aggregator.domain.quantity import Layout, Quantity

MOST_HITTERS = 16
"""Most frequent ids that a batch tells of, by distribution."""
FURTHEST = 2040
"""The bucket of infinity, and of what is not a number."""
_ID_BUCKETS = 64
_FIELD = "block.value_sketch"


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths: row r owns entries `[offsets[r], offsets[r + 1])`.

    `offsets` uint32 [rows + 1]; `keys` integers [entries], rising within a row; `counts` uint32
    [entries], never zero.
    """

    offsets: NDArray[np.uint32]
    keys: NDArray[np.int16] | NDArray[np.int64]
    counts: NDArray[np.uint32]

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(self.offsets) - 1

    @property
    def rows(self) -> NDArray[np.int64]:
        """Which row each entry is in, int64 [entries]."""
        offsets = self.offsets.astype(np.int64)
        return np.repeat(np.arange(self.row_count), offsets[1:] - offsets[:-1])

    def totals(self) -> NDArray[np.int64]:
        """Return each row's counts added up, int64 [rows]."""
        running = np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))
        return np.asarray(running[self.offsets[1:]] - running[self.offsets[:-1]])


@dataclass(frozen=True, eq=False)
class Sketch:
    """The values of one batch of N examples: M features, D distributions, P proxies.

    `baseline_counts` uint32 [M]: examples at the feature's baseline. `buckets`: D rows of int16.
    `hitters`: the most frequent ids, a row of int64 for each distribution of ids. `moments` float64
    [P, 3]: of each proxy over all examples the mean, the sum of squared deviations, and the sum of
    products with the predictions' deviations. `prediction_mean` and `prediction_squares`: the first
    two of the predictions themselves.
    """

    baseline_counts: NDArray[np.uint32]
    buckets: Ragged
    hitters: Ragged
    moments: NDArray[np.float64]
    prediction_mean: float
    prediction_squares: float


def check_sketch(sketch: Sketch, example_count: int, feature_count: int) -> None:
    """Check a batch's sketch by itself.

    Raises:
        MalformedBlock: an array does not fit the others, or counts exceed the examples.
        NotFinite: a moment is NaN or infinite.
    """
    baseline = sketch.baseline_counts
    if len(baseline) != feature_count or bool(np.any(baseline > example_count)):
        raise MalformedBlock(
            f"there must be one count of each feature, {feature_count}, and none over "
            f"example_count, {example_count}",
            field=f"{_FIELD}.baseline_counts",
        )
    _check_ragged(sketch.buckets, "bucket_offsets", "buckets", "bucket_counts")
    _check_ragged(sketch.hitters, "hitter_offsets", "hitter_ids", "hitter_counts")
    if sketch.hitters.row_count and int(np.diff(sketch.hitters.offsets).max()) > MOST_HITTERS:
        raise MalformedBlock(
            f"a distribution has more than {MOST_HITTERS} ids: send the most frequent ones",
            field=f"{_FIELD}.hitter_offsets",
        )
    if not np.isfinite(sketch.moments).all():
        raise NotFinite("a moment is NaN or infinite", field=f"{_FIELD}.moments")
    if bool(np.any(sketch.moments[:, 1] < 0)):
        raise MalformedBlock("a sum of squares is negative", field=f"{_FIELD}.moments")


def check_layout(sketch: Sketch, layout: Layout, example_count: int) -> None:
    """Check that a sketch is one of the checkpoint's examples.

    Raises:
        MalformedBlock: it has other distributions, buckets that do not exist, or counts that do not
            sum up to the examples that are not at the baseline.
    """
    distributions = layout.distributions
    for found, wanted, field in (
        (sketch.buckets.row_count, len(distributions), "bucket_offsets"),
        (sketch.hitters.row_count, len(layout.ids), "hitter_offsets"),
        (len(sketch.moments), len(layout.proxies), "moments"),
    ):
        if found != wanted:
            raise MalformedBlock(
                f"{found} distributions where the checkpoint's features have {wanted}",
                field=f"{_FIELD}.{field}",
            )
    is_id = np.array([each.quantity is Quantity.ID for each in distributions], dtype=np.bool_)
    _check_buckets(sketch.buckets, is_id)
    _check_totals(sketch, layout, is_id, example_count)


def _check_buckets(buckets: Ragged, is_id: NDArray[np.bool_]) -> None:
    of_ids = is_id[buckets.rows]
    lowest = np.where(of_ids, 0, -FURTHEST)
    highest = np.where(of_ids, _ID_BUCKETS - 1, FURTHEST)
    if bool(np.any((buckets.keys < lowest) | (buckets.keys > highest))):
        raise MalformedBlock(
            f"buckets of numbers lie within {FURTHEST} of 0, those of ids under {_ID_BUCKETS}",
            field=f"{_FIELD}.buckets",
        )


def _check_totals(
    sketch: Sketch, layout: Layout, is_id: NDArray[np.bool_], example_count: int
) -> None:
    features = np.array([each.feature for each in layout.distributions], dtype=np.int64)
    present = example_count - sketch.baseline_counts.astype(np.int64)[features]
    totals = sketch.buckets.totals()
    if bool(np.any(np.where(is_id, totals < present, totals != present))):
        raise MalformedBlock(
            "counts must sum up to the examples that are not at the baseline; those of ids to at "
            "least as many",
            field=f"{_FIELD}.bucket_counts",
        )
    if bool(np.any(sketch.hitters.totals() > totals[list(layout.ids)])):
        raise MalformedBlock(
            "the most frequent ids occur more often than all ids together",
            field=f"{_FIELD}.hitter_counts",
        )


def _check_ragged(ragged: Ragged, offsets_field: str, keys_field: str, counts_field: str) -> None:
    offsets, keys, counts = ragged.offsets, ragged.keys, ragged.counts
    rising = len(offsets) > 0 and bool(np.all(offsets[1:] >= offsets[:-1]))
    if not rising or offsets[0] != 0 or offsets[-1] != len(keys):
        raise MalformedBlock(
            f"offsets must start at 0, never fall and end at the number of entries, {len(keys)}",
            field=f"{_FIELD}.{offsets_field}",
        )
    rises = np.ones(len(keys) + 1, dtype=np.bool_)
    rises[1:-1] = keys[1:] > keys[:-1]
    rises[offsets] = True
    if not rises.all():
        raise MalformedBlock("must rise within a distribution", field=f"{_FIELD}.{keys_field}")
    if len(counts) != len(keys) or not counts.all():
        raise MalformedBlock(
            f"each of the {len(keys)} entries needs a count above zero",
            field=f"{_FIELD}.{counts_field}",
        )
