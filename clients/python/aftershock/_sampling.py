"""A share of the examples, the same one whenever the same examples come again."""

import threading
from typing import Any

import numpy as np


class Sampler:
    """Draws examples by their place in the log: neither batches nor threads matter to how many.

    Example i is drawn iff the i-th number of the seed's generator is below the share. Considered
    and displayed examples have a log and so a generator each.
    """

    def __init__(self, share: float, seed: int, population: int) -> None:
        """Draw a share of the examples of a population.

        Raises:
            ValueError: the share is not above 0 and at most 1, or the seed is negative.
        """
        if not 0 < share <= 1:
            raise ValueError(f"sample={share!r} is a share of examples: above 0, at most 1")
        self._share = share
        self._generator = np.random.default_rng((seed, population))
        self._lock = threading.Lock()

    def draw(self, count: int) -> Any:
        """Return which of the next `count` examples are drawn, int64 [drawn]; None: all are."""
        if self._share == 1:
            return None
        with self._lock:
            return np.flatnonzero(self._generator.random(count) < self._share)
