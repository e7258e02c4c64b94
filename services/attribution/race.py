"""Races features: ablates only those that may still be among the most important."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.example import Examples
from services.attribution.domain.racing import Race, Standing
from services.attribution.explain import Explain

_NO_VALUES = np.empty(0, dtype=np.float32)


@dataclass(frozen=True)
class RaceOn:
    """Takes a race one batch further. Once it is settled, a batch costs nothing."""

    explain: Explain
    race: Race

    def __call__(
        self,
        examples: Examples,
        present: NDArray[np.int64],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Standing:
        """Return how the race stands with the examples counted.

        `present` [M] says how many of them each feature is not at its baseline in.

        Raises:
            NotFinite: a prediction is NaN or infinite. The examples do not count.
            Abandoned: the answer is not wanted any more.
        """
        if self.race.is_settled:
            offsets, values = np.zeros(len(present) + 1, dtype=np.uint32), _NO_VALUES
        else:
            lfi = self.explain(examples, is_wanted, self.race.racing)
            offsets, values = lfi.offsets, lfi.values
        self.race.count(examples.count, offsets, values, present)
        return self.race.standing()
