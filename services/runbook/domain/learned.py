"""A policy that was learned: the probability that a feature is broken, by logistic regression.

Training happens elsewhere. What is here reads inputs off a case and scores them, so that training
and serving share one definition of each input.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from services.runbook.domain.case import Case
from services.runbook.domain.evidence import Comparison, FeatureShift
from services.runbook.domain.policy import Choice

_TOLD = 3
"""Inputs that a choice names."""

_Input = Callable[[FeatureShift, Comparison, float], float]

INPUTS: Mapping[str, _Input] = MappingProxyType(
    {
        "evidence": lambda shift, _c, _t: math.log1p(max(shift.score, 0.0)),
        "abs_z": lambda shift, _c, _t: math.log1p(abs(shift.z)),
        "share_of_top": lambda shift, _c, top: abs(shift.shift) / top if top > 0 else 0.0,
        "first_by_evidence": lambda shift, _c, _t: 1 / max(shift.rank, 1),
        "first_by_shift": lambda shift, _c, _t: 1 / shift.shift_rank if shift.shift_rank else 0.0,
        "significant": lambda shift, _c, _t: float(shift.significant),
        "coverage_change": lambda shift, _c, _t: abs(
            shift.anomaly_coverage - shift.control_coverage
        ),
        "rank_change": lambda shift, comparison, _t: (
            abs(shift.control_rank - shift.anomaly_rank) / max(comparison.feature_count, 1)
        ),
        "importance": lambda shift, _c, _t: math.log10(
            max(shift.control_gfi, shift.anomaly_gfi, 1e-9)
        ),
        "significant_share": lambda _s, comparison, _t: (
            comparison.significant_count / max(comparison.feature_count, 1)
        ),
    }
)
"""What a learned policy may look at, from a shift, its comparison and the largest absolute shift of
the candidates. None has the unit of a feature, so that what was learned on one model carries over
to another."""


@dataclass(frozen=True)
class Weight:
    """How one input counts."""

    input: str
    """Of `INPUTS`."""
    coefficient: float
    """Of the scaled input."""
    mean: float
    scale: float
    """The input is scaled to `(value - mean) / scale`."""


@dataclass(frozen=True)
class LearnedModel:
    """Logistic regression with Platt's calibration of its log-odds.

    Platt, Probabilistic outputs for support vector machines (1999): the probability is
    `1 / (1 + exp(-(slope * margin + offset)))`.

    >>> model = LearnedModel((Weight("abs_z", 2.0, 1.0, 0.5),), -1.0, 1.0, 0.0, 0.5)
    >>> model.probability({"abs_z": 1.25})
    0.5
    """

    weights: tuple[Weight, ...]
    intercept: float
    slope: float
    offset: float
    at_least: float
    """Probability from which on a feature is chosen."""

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all the numbers as canonical JSON."""
        rows = [[w.input, *map(float, (w.coefficient, w.mean, w.scale))] for w in self.weights]
        numbers = map(float, (self.intercept, self.slope, self.offset, self.at_least))
        canonical = json.dumps([rows, *numbers], separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def contributions(self, inputs: Mapping[str, float]) -> Mapping[str, float]:
        """Return what each input adds to the log-odds, against its mean in training."""
        return {
            w.input: self.slope * w.coefficient * (inputs[w.input] - w.mean) / w.scale
            for w in self.weights
        }

    def probability(self, inputs: Mapping[str, float]) -> float:
        """Return the calibrated probability that the feature is broken."""
        added = math.fsum(self.contributions(inputs).values())
        log_odds = added + self.slope * self.intercept + self.offset
        # Either branch takes the exponential of a negative number: none overflows.
        if log_odds >= 0:
            return 1 / (1 + math.exp(-log_odds))
        return math.exp(log_odds) / (1 + math.exp(log_odds))


@dataclass(frozen=True)
class Learned:
    """Picks the candidates that are broken with enough probability."""

    model: LearnedModel

    def choose(self, case: Case) -> Choice:
        """Score each candidate and say which inputs weighed most."""
        scored = {
            feature: (self.model.probability(inputs), inputs)
            for feature, inputs in inputs_of(case).items()
        }
        chosen = {f: found for f, found in scored.items() if found[0] >= self.model.at_least}
        why = (self._told(feature, *found) for feature, found in chosen.items())
        return Choice(tuple(chosen), "; ".join(why))

    def _told(self, feature: str, probability: float, inputs: Mapping[str, float]) -> str:
        added = self.model.contributions(inputs)
        heaviest = sorted(added, key=lambda name: -abs(added[name]))[:_TOLD]
        weighed = ", ".join(f"{name} {inputs[name]:.3g} ({added[name]:+.2f})" for name in heaviest)
        return f"{feature} is broken with probability {probability:.2f}, most by {weighed}"


def inputs_of(case: Case) -> Mapping[str, Mapping[str, float]]:
    """Return the inputs by candidate, in rank order; what is not a number is 0."""
    comparison = case.comparison
    if comparison is None:
        return {}
    top = max((abs(shift.shift) for shift in case.candidates), default=0.0)
    return {
        shift.feature: {
            name: _finite(read(shift, comparison, top)) for name, read in INPUTS.items()
        }
        for shift in case.candidates
    }


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
