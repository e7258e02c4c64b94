"""What speaks for a feature, how strongly, and how rarely as much speaks for one in a clean window.

A signal's *strength* is its change in noises (see `past`): the smaller of the change from the
control and of the change from the usual window. A feature broke only if it differs from the
control and from what is usual: the first alone can be a whim of the control, the second one of
both windows. What all features do together is the window's doing and not a feature's: strengths
are divided by the median feature's strongest one where that is above 1.

Two questions are asked of each feature: does the model feel it (the distance of LFIs), and does the
data show it (the strongest of coverage, values and correlation)? A model made robust feels little
of a corruption, and a harmless drift is not felt: so both answers count, each by what it is worth
under Student's t with f degrees of freedom, z its strength:

    score = sum over both of (f + 1) / 2 * log(1 + z^2 / f)

which is Fisher's sum of logarithms of tail probabilities, but for a constant. What it says is told
by the clean windows: each is scored like an anomaly whose past are the others, and `tail` gives the
probability that a feature of a clean window scores as high.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.past import FEWEST_CHANGES, Moves, Past
from services.aggregator.domain.signals import SHOWN, SIGNALS, Signal, Signals, of
from services.aggregator.domain.tail import FEWEST_SCORES, Tail

PRIOR_DEGREES = 4


@dataclass(frozen=True)
class Evidence:
    """How strongly one signal speaks for one feature."""

    signal: Signal
    change: float
    """From the control, in the signal's own unit."""
    noise: float
    """Of such changes while nothing is wrong, in the same unit."""
    strength: float


@dataclass(frozen=True, eq=False)
class Findings:
    """Of all features: changes from the control, their noise and strengths, [signals, M] each.

    `scores` float64 [M]; `p` float64 [M]: the probability that a feature of a clean window scores
    as high.
    """

    changes: Signals
    noise: Signals
    strengths: Signals
    scores: NDArray[np.float64]
    p: NDArray[np.float64]

    def of_feature(self, j: int) -> list[Evidence]:
        """Return what is known of one feature, the strongest first."""
        known = [
            Evidence(
                signal, *(float(row[s, j]) for row in (self.changes, self.noise, self.strengths))
            )
            for s, signal in enumerate(SIGNALS)
            if not np.isnan(self.strengths[s, j])
        ]
        return sorted(known, key=lambda each: -each.strength)


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores windows by a past of at least FEWEST_CHANGES changes."""

    past: Past
    floors: NDArray[np.float64]
    """[signals]: the least that a noise can be."""

    @cached_property
    def clean_scores(self) -> NDArray[np.float64]:
        """Scores of the past's own windows, float64 [pairs, M], each held against the others."""
        moved, unusual = self.past.between, self.past.from_usual[self.past.laters]
        between, usual = self._between.without(moved), self._usual.without(unusual)
        return self._scores(self._strengths(moved, unusual, between, usual))

    @property
    def can_judge(self) -> bool:
        """Whether the past is long enough to say what chance does."""
        return len(self.past.laters) >= FEWEST_CHANGES and self.clean_scores.size >= FEWEST_SCORES

    def __call__(self, moved: Signals, unusual: Signals) -> Findings:
        """Return what speaks for each feature by the changes from the control and from the usual.

        Both are of the anomaly, [signals, M].
        """
        strengths = self._strengths(moved, unusual, self._between, self._usual)
        scores = self._scores(strengths)
        tail = Tail.of(self.clean_scores)
        return Findings(moved, self._between.noise(self.floors), strengths, scores, tail(scores))

    def chance(self, findings: Findings) -> float:
        """Return the probability that a clean window's highest score is as high as the highest.

        No less than the share of clean windows that reached it, whatever their tail says.
        """
        highest = self.clean_scores.max(axis=1)
        reached = np.count_nonzero(highest >= findings.scores.max()) / len(highest)
        return max(min(1.0, len(findings.p) * float(findings.p.min())), float(reached))

    @cached_property
    def _between(self) -> Moves:
        return Moves.of(self.past.between)

    @cached_property
    def _usual(self) -> Moves:
        return Moves.of(self.past.from_usual)

    def _strengths(self, moved: Signals, unusual: Signals, between: Moves, usual: Moves) -> Signals:
        strengths = np.minimum(
            moved / between.noise(self.floors), unusual / usual.noise(self.floors)
        )
        strongest = np.nan_to_num(strengths).max(axis=-2)
        typical = np.median(strongest, axis=-1)[..., np.newaxis, np.newaxis]
        return np.asarray(strengths / np.maximum(typical, 1.0))

    def _scores(self, strengths: Signals) -> NDArray[np.float64]:
        degrees = len(self.past.laters) + PRIOR_DEGREES
        distance = of(strengths, Signal.LFI_DISTANCE)
        felt = np.where(np.isnan(distance), of(strengths, Signal.GFI_SHIFT), distance)
        shown = np.max([np.nan_to_num(of(strengths, signal)) for signal in SHOWN], axis=0)
        return _worth(felt, degrees) + _worth(shown, degrees)


def floors_of(control_gfi: NDArray[np.float64], example_count: int) -> NDArray[np.float64]:
    """Return the least noise of each signal, [signals]: where the past has none at all.

    A thousandth of the median importance for what the model feels, one example for the others.
    """
    present = control_gfi[control_gfi > 0]
    felt = 1e-3 * float(np.median(present)) if len(present) else 1e-3
    return np.array([1.0 / max(example_count, 1) if s in SHOWN else felt for s in SIGNALS])


def _worth(strengths: NDArray[np.float64], degrees: int) -> NDArray[np.float64]:
    return np.asarray((degrees + 1) / 2 * np.log1p(strengths**2 / degrees))
