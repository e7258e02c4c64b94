"""Which of the selected features are enough."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from services.runbook.domain.evidence import Calibration
from services.runbook.domain.preview import Alternative, JointAblation, Preview, predict

MOST_SETS = 16
"""That are previewed for one proposal, besides doing nothing."""
_Z95 = 1.959964

Features = tuple[str, ...]


@dataclass(frozen=True)
class _Outcome:
    features: Features
    preview: Preview
    distance: float
    """From 1, on a logarithmic scale."""
    error: float
    """Standard error of the distance, of what differs from set to set: the sample."""


def sets_of(features: Features) -> Sequence[Features]:
    """Return the sets to preview, smallest first and the whole one last.

    All of them if they are no more than MOST_SETS; else single features and the whole set less one
    feature each, as far as there is room.
    """
    size = len(features)
    if 2**size - 1 <= MOST_SETS:
        sizes: Sequence[int] = range(1, size + 1)
    else:
        sizes = (1, size - 1)
    some = (chosen for count in sizes for chosen in combinations(features, count))
    return (*_first(some, features), features)


def recommend(
    calibration: Calibration, ablations: Mapping[Features, JointAblation]
) -> tuple[Features, Preview]:
    """Return the smallest set that does as well as the best, and its preview with all others.

    A set does as well as the best if the distances of their predicted calibrations from 1, as
    |log predicted|, differ by less than 1.96 times the standard error of the difference. The count
    of events is common to all and does not tell them apart; the sample's errors are taken for
    independent, which makes that error too large rather than too small. Doing nothing is a set, the
    smallest: it is recommended where nothing does better.

    Raises:
        PreviewUnavailable: there is no ratio to predict with.
    """
    outcomes = [
        _outcome(calibration, features, ablation) for features, ablation in ablations.items()
    ]
    nothing = _nothing(calibration, outcomes[0].preview.example_count)
    best = min((nothing, *outcomes), key=lambda outcome: outcome.distance)
    as_good = [o for o in (nothing, *outcomes) if _as_good(o, best)]
    chosen = min(as_good, key=lambda outcome: (len(outcome.features), outcome.distance))
    others = tuple(
        Alternative(o.features, o.preview.calibration, o.preview.lower, o.preview.upper)
        for o in (nothing, *outcomes)
        if o.features != chosen.features
    )
    return chosen.features, replace(chosen.preview, alternatives=others)


def _first(sets: Iterator[Features], whole: Features) -> Iterator[Features]:
    room = MOST_SETS - 1
    for features in sets:
        if features != whole and room > 0:
            room -= 1
            yield features


def _outcome(calibration: Calibration, features: Features, ablation: JointAblation) -> _Outcome:
    preview = predict(calibration, ablation)
    ratio = ablation.mitigated_mean_prediction / ablation.mean_prediction
    error = ablation.ratio_standard_error / ratio
    return _Outcome(features, preview, abs(math.log(preview.calibration)), error)


def _nothing(calibration: Calibration, example_count: int) -> _Outcome:
    unchanged = JointAblation(1.0, 1.0, 0.0, example_count, "")
    return _Outcome((), predict(calibration, unchanged), calibration.distance, 0.0)


def _as_good(outcome: _Outcome, best: _Outcome) -> bool:
    return outcome.distance - best.distance <= _Z95 * math.hypot(outcome.error, best.error)
