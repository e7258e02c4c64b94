"""How much a model's windows differ while nothing is wrong, signal by signal.

Two changes are watched in the healthy windows before: from a window to one `lag` later, as between
control and anomaly, and from the usual window - the mean of the others - to each. A signal's noise
for a feature is the root mean square of such changes d over n of them, shrunk, because a short past
says little, towards the median feature's:

    noise_j^2 = (n mean(d_j^2) + n_0 median_j(d_j)^2) / (n + n_0),   n_0 = 4

The second term is absolute and not relative to the feature's own level: a feature that the model
ignores has LFIs that change by next to nothing, and cannot stand out by what it feels.

With a day's or a week's lag, hours are only compared with the same hours: the usual window is that
of the windows in the same *phase*, their start modulo the lag.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.portrait import Frame, average, averages_of_others
from services.aggregator.domain.signals import Signals, changes

FEWEST_CHANGES = 3
"""Of earlier healthy windows, from each to the next: with fewer the past says nothing."""
_PRIOR_CHANGES = 4
_FEWEST_IN_PHASE = 2


@dataclass(frozen=True, eq=False)
class Moves:
    """Squared changes that were seen, summed up where they are known: [signals, M] both."""

    squares: Signals
    counts: Signals

    @classmethod
    def of(cls, seen: Sequence[Signals]) -> "Moves":
        """Return the sum of some changes."""
        stacked = np.stack(seen)
        known = ~np.isnan(stacked)
        return cls((np.where(known, stacked, 0.0) ** 2).sum(axis=0), known.sum(axis=0) * 1.0)

    def without(self, change: Signals) -> "Moves":
        """Return what is left without one of them."""
        known = ~np.isnan(change)
        squares = self.squares - np.where(known, change, 0.0) ** 2
        return Moves(np.maximum(squares, 0.0), self.counts - known)

    def noise(self, floors: NDArray[np.float64]) -> Signals:
        """Return the noise, above zero; `floors` [signals] are the least it can be."""
        mean = self.squares / np.maximum(self.counts, 1.0)
        level = np.where((self.counts > 0) & (mean > 0), np.sqrt(mean), np.nan)
        typical = np.array([_median(row) for row in level])[:, np.newaxis]
        shrunk = (self.squares + _PRIOR_CHANGES * typical**2) / (self.counts + _PRIOR_CHANGES)
        return np.asarray(np.sqrt(shrunk + floors[:, np.newaxis] ** 2))


@dataclass(frozen=True, eq=False)
class Past:
    """Portraits of healthy windows [W, L], rising in time, with what changes between them."""

    frame: Frame
    rows: NDArray[np.float32]
    pairs: Sequence[tuple[int, int]]
    """Positions (later, earlier) of the windows between which a change is taken."""
    phases: NDArray[np.intp]
    """[W + 1]: of each window, and of the anomaly."""
    between: Sequence[Signals]
    """By pair."""
    from_usual: Sequence[Signals]
    """By window."""

    @classmethod
    def of(
        cls,
        frame: Frame,
        rows: NDArray[np.float32],
        pairs: Sequence[tuple[int, int]],
        phases: NDArray[np.intp],
    ) -> "Past":
        """Return the past of these windows; `phases` are told apart if each has its fellows."""
        _, counts = np.unique(phases, return_counts=True)
        if counts.min() <= _FEWEST_IN_PHASE:
            phases = np.zeros_like(phases)
        between = [changes(frame, rows[later], rows[earlier]) for later, earlier in pairs]
        return cls(frame, rows, pairs, phases, between, _from_usual(frame, rows, phases))

    def from_usual_to(self, row: NDArray[np.float32]) -> Signals:
        """Return the changes from the usual window in the anomaly's phase to this portrait."""
        fellows = self.phases[:-1] == self.phases[-1]
        return changes(self.frame, row, average(self.rows[fellows]))


def _from_usual(
    frame: Frame, rows: NDArray[np.float32], phases: NDArray[np.intp]
) -> Sequence[Signals]:
    found: list[Signals] = [np.zeros(0)] * len(rows)
    for phase in np.unique(phases[:-1]):
        places = np.flatnonzero(phases[:-1] == phase)
        for place, usual in zip(places, averages_of_others(rows[places]), strict=True):
            found[place] = changes(frame, rows[place], usual)
    return found


def _median(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else 0.0
