"""What is kept of a window once its examples are let go."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane
from services.aggregator.domain.bootstrap import standard_errors
from services.aggregator.domain.gfi import gather, importances
from services.aggregator.domain.profile import Profile, profile_of
from services.aggregator.domain.quantiles import signed_quantiles


@dataclass(frozen=True, eq=False)
class Summary:
    """A window's importances, float64 [M] each, in the checkpoint's feature order.

    `quantiles` float32 [M, 33]: of the non-zero LFIs, signed, at `quantiles.LEVELS`; None in a
    summary that was made before they were kept. `profile`: None where no block told of its values,
    and without quantiles.
    """

    considered_count: int
    displayed_count: int
    gfi: NDArray[np.float64]
    coverage: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    quantiles: NDArray[np.float32] | None = None
    profile: Profile | None = None

    @property
    def example_count(self) -> int:
        """Examples of both populations."""
        return self.considered_count + self.displayed_count


def seed_of(name: str) -> int:
    """Return what seeds the bootstrap of the window with that resource name."""
    return zlib.crc32(name.encode())


def summarise(panes: Sequence[Pane], feature_count: int, name: str, resamples: int) -> Summary:
    """Return importances, coverages, bootstrap errors, quantiles and profile of panes.

    The window's resource name seeds the bootstrap: whoever summarises a window, and in whatever
    order its blocks came, gets the same numbers.
    """
    columns = gather(panes, feature_count)
    gfi, coverage = importances(columns)
    return Summary(
        considered_count=columns.weights.considered_count,
        displayed_count=columns.weights.displayed_count,
        gfi=gfi,
        coverage=coverage,
        standard_error=standard_errors(columns, resamples, seed_of(name)),
        quantiles=signed_quantiles(panes, feature_count),
        profile=profile_of(panes),
    )
