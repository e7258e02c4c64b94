"""Looking back: exclusive prefix statistics per group, vectorised over a whole timeline.

Row i of every answer uses only rows before i that carry the same key. Sums are exact, and thus
independent of what comes later, as long as the summed values are integers.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class History:
    """The past of each row among rows of one key.

    >>> History(np.array([7, 8, 7, 7])).total(np.array([1, 1, 5, 2])).tolist()
    [0, 0, 1, 6]
    """

    def __init__(self, keys: Ints) -> None:
        """keys: int64 [N] in the order of time; a negative key means "unknown"."""
        self.known: Mask = keys >= 0
        self._order = np.argsort(keys, kind="stable")
        ordered = keys[self._order]
        positions = np.arange(len(keys))
        starts = np.ones(len(keys), bool)
        starts[1:] = ordered[1:] != ordered[:-1]
        self._start = np.maximum.accumulate(np.where(starts, positions, 0))
        self._position = positions

    def count(self) -> Ints:
        """How many rows of the key came before: int64 [N]."""
        return self._unsort(self._position - self._start)

    def total(self, values: Ints) -> Ints:
        """Sum of `values` (int64 [N] or [N, D]) over the rows before."""
        sums = self._prefix(values)
        return self._unsort(sums[self._position] - sums[self._start])

    def total_of_last(self, values: Ints, k: int) -> Ints:
        """Sum of `values` (int64 [N]) over at most the `k` rows just before."""
        sums = self._prefix(values)
        from_ = np.maximum(self._start, self._position - k)
        return self._unsort(sums[self._position] - sums[from_])

    def last(self, values: Ints, missing: int) -> Ints:
        """`values` of the row just before, or `missing` for the first of its key."""
        rows = self.previous(1)[:, 0]
        return np.where(rows >= 0, values[rows], missing)

    def previous(self, k: int) -> Ints:
        """The `k` rows before, the most recent first, -1 where there is none: int64 [N, k]."""
        positions = self._position[:, None] - np.arange(1, k + 1)
        there = positions >= self._start[:, None]
        return self._unsort(np.where(there, self._order[np.where(there, positions, 0)], -1))

    def previous_where(self, matching: Mask, k: int) -> Ints:
        """Like `previous`, counting only rows where `matching` (bool [N]) is true."""
        matched = matching[self._order]
        before = np.zeros(len(matching) + 1, np.int64)
        np.cumsum(matched, out=before[1:])
        chosen = np.append(self._order[matched], -1)
        slots = before[self._position][:, None] - np.arange(1, k + 1)
        there = slots >= before[self._start][:, None]
        return self._unsort(chosen[np.where(there, slots, -1)])

    def count_within(self, seconds: Ints, span: int) -> Ints:
        """How many rows before lie at most `span` seconds back; `seconds` never decreases."""
        since = (seconds - seconds[:1])[self._order]
        group = np.cumsum(self._start == self._position)
        ranks = group * (int(since.max(initial=0)) + span + 1) + since
        oldest = np.searchsorted(ranks, ranks - span, side="left")
        return self._unsort(self._position - np.maximum(oldest, self._start))

    def _prefix(self, values: Ints) -> Ints:
        sums = np.zeros((len(values) + 1, *values.shape[1:]), np.int64)
        np.cumsum(values[self._order], axis=0, out=sums[1:])
        return sums

    def _unsort(self, ordered: Ints) -> Ints:
        answer = np.empty_like(ordered)
        answer[self._order] = ordered
        return answer
