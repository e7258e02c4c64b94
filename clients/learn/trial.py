"""What can be learned from: shifts of which it is known whether their features were broken."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from services.runbook.domain.case import Case
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.evidence import Comparison
from services.runbook.domain.learned import inputs_of

DRILLED = 1.0
RECORDED = 5.0
"""Weight of what really happened: a drill imagines faults, an incident had one."""


class CannotLearn(Exception):
    """Training is not possible; the text says what is missing."""


@dataclass(frozen=True)
class Trial:
    """A comparison, and which of its features were broken."""

    name: str
    case: Case
    broken: Mapping[str, bool]
    """By feature; a feature that is not here is not known."""
    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """By feature, where it is not that of a drill."""
    seed: int | None = None
    """Of the drill; None for an incident."""

    @property
    def culprits(self) -> frozenset[str]:
        """The features that were broken."""
        return frozenset(feature for feature, broken in self.broken.items() if broken)


@dataclass(frozen=True)
class Sample:
    """One shift, as training sees it."""

    trial: str
    inputs: Mapping[str, float]
    broken: bool
    weight: float


def case_from(model: str, comparison: Comparison) -> Case:
    """Return the case that policies would look at."""
    verdict = IncidentVerdict.FEATURE_CORRUPTION
    return Case(model, verdict, comparison, comparison.anomaly, 1, frozenset())


def samples_of(trials: Iterable[Trial], left_out: frozenset[str] = frozenset()) -> Sequence[Sample]:
    """Return the shifts whose features are known, without those of some features."""
    return [sample for trial in trials for sample in _samples(trial, left_out)]


def _samples(trial: Trial, left_out: frozenset[str]) -> Iterator[Sample]:
    for feature, inputs in inputs_of(trial.case).items():
        if feature in trial.broken and feature not in left_out:
            weight = trial.weights.get(feature, DRILLED)
            yield Sample(trial.name, inputs, trial.broken[feature], weight)
