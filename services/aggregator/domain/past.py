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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.gallery import Gallery
from services.aggregator.domain.portrait import Portrait
from services.aggregator.domain.signals import Signals

FEWEST_CHANGES = 3
"""Of earlier healthy windows, from each to the next: with fewer the past says nothing."""
_PRIOR_CHANGES = 4
_FEWEST_IN_PHASE = 2


@dataclass(frozen=True, eq=False)
class Moves:
    """Squared changes that were seen, summed up where they are known: [..., signals, M] both."""

    squares: Signals
    counts: Signals

    @classmethod
    def of(cls, seen: Signals) -> "Moves":
        """Return the sum of some changes, [n, signals, M]."""
        known = ~np.isnan(seen)
        return cls((np.where(known, seen, 0.0) ** 2).sum(axis=0), known.sum(axis=0) * 1.0)

    def without(self, change: Signals) -> "Moves":
        """Return what is left without one of them; of several, [n, signals, M], without each."""
        known = ~np.isnan(change)
        squares = self.squares - np.where(known, change, 0.0) ** 2
        return Moves(np.maximum(squares, 0.0), self.counts - known)

    def noise(self, floors: NDArray[np.float64]) -> Signals:
        """Return the noise, above zero; `floors` [signals] are the least it can be."""
        mean = self.squares / np.maximum(self.counts, 1.0)
        level = np.where((self.counts > 0) & (mean > 0), np.sqrt(mean), np.nan)
        typical = _medians(level)[..., np.newaxis]
        shrunk = (self.squares + _PRIOR_CHANGES * typical**2) / (self.counts + _PRIOR_CHANGES)
        return np.asarray(np.sqrt(shrunk + floors[:, np.newaxis] ** 2))


Pair = tuple[int, int]
"""Positions (later, earlier) of the windows between which a change is taken."""
Places = tuple[int, ...]
"""Positions of windows that are alike, rising."""


@dataclass(frozen=True)
class Plan:
    """What a past is made of: changes between pairs of windows, and groups of them."""

    pairs: Sequence[Pair]
    groups: Sequence[Places]
    """Each window is in one."""
    fellows: Places
    """The group in the anomaly's phase."""

    @classmethod
    def of(cls, pairs: Sequence[Pair], phases: NDArray[np.intp]) -> "Plan":
        """Return the plan; `phases` [W + 1], the anomaly's last, group if each has its fellows."""
        _, counts = np.unique(phases, return_counts=True)
        if counts.min() <= _FEWEST_IN_PHASE:
            phases = np.zeros_like(phases)
        by_phase: dict[int, list[int]] = {}
        for place, phase in enumerate(phases[:-1].tolist()):
            by_phase.setdefault(phase, []).append(place)
        groups = {phase: tuple(places) for phase, places in by_phase.items()}
        return cls(pairs, list(groups.values()), groups[int(phases[-1])])


@dataclass(frozen=True, eq=False)
class Past:
    """What changed between W healthy windows, rising in time, and what is usual of them."""

    between: Signals
    """By pair, [pairs, signals, M]."""
    from_usual: Signals
    """By window, [W, signals, M]."""
    laters: NDArray[np.intp]
    """The later window of each pair, [pairs]."""
    usual: Portrait
    """The usual window in the anomaly's phase."""

    @classmethod
    def of(cls, gallery: Gallery, plan: Plan) -> "Past":
        """Return the past of all the windows that hang there."""
        groups = {group: gallery.group(group) for group in plan.groups}
        return cls.made_of(
            plan,
            {pair: gallery.changes(*pair) for pair in plan.pairs},
            {group: seen.from_usual for group, seen in groups.items()},
            groups[plan.fellows].usual,
        )

    @classmethod
    def made_of(
        cls,
        plan: Plan,
        between: Mapping[Pair, NDArray[np.floating[Any]]],
        from_usual: Mapping[Places, Iterable[NDArray[np.floating[Any]]]],
        usual: Portrait,
    ) -> "Past":
        """Put together what was found of the pairs and groups of the plan."""
        by_place: dict[int, NDArray[np.floating[Any]]] = {}
        for group in plan.groups:
            by_place |= zip(group, from_usual[group], strict=True)
        return cls(
            np.stack([between[pair] for pair in plan.pairs], dtype=np.float64),
            np.stack([by_place[place] for place in range(len(by_place))], dtype=np.float64),
            np.array([later for later, _ in plan.pairs], dtype=np.intp),
            usual,
        )


def _medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the medians over the last axis of what is known, zero where nothing is."""
    # Sorting puts NaN last.
    rising = np.sort(values, axis=-1)
    known = np.count_nonzero(~np.isnan(values), axis=-1)[..., np.newaxis]
    middle = [np.maximum(known - 1, 0) // 2, np.minimum(known // 2, values.shape[-1] - 1)]
    low, high = (np.take_along_axis(rising, place, axis=-1)[..., 0] for place in middle)
    return np.where(known[..., 0] > 0, (low + high) / 2, 0.0)
