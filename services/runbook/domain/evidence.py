"""What the aggregator says of a model: windows, calibrations and ranked shifts."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What the comparison of two windows says."""

    FEATURE_CORRUPTION = "FEATURE_CORRUPTION"
    NO_FEATURE_EXPLAINS = "NO_FEATURE_EXPLAINS"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True)
class Calibration:
    """Expected over observed events of a window, with its interval. Infinite without events."""

    ratio: float
    lower: float
    upper: float
    expected: float
    observed: int
    anomalous: bool
    """The whole interval lies outside the model's healthy band."""

    @property
    def distance(self) -> float:
        """How far the ratio is from 1, on a logarithmic scale: 2 and 0.5 are equally far."""
        return abs(math.log(self.ratio)) if 0 < self.ratio < math.inf else math.inf

    def __str__(self) -> str:
        return f"{self.ratio:.2f} ({self.lower:.2f} to {self.upper:.2f})"


@dataclass(frozen=True)
class Window:
    """A closed window of one model with known outcomes."""

    name: str
    """`models/{model}/windows/{window}`"""
    start_time: datetime
    end_time: datetime
    """Exclusive."""
    checkpoint_digest: str
    considered_count: int
    displayed_count: int
    calibration: Calibration

    @property
    def id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Evidence:
    """How strongly one signal speaks for a feature."""

    signal: str
    """As the contract names it, such as `VALUE_DISTANCE`."""
    change: float
    """From control to anomaly, in the signal's own unit."""
    noise: float
    """Of changes between healthy windows, in the same unit."""
    strength: float
    """The change in noises; of a feature that broke far above 1."""


@dataclass(frozen=True)
class FeatureShift:
    """Change of one feature's importance from control to anomaly."""

    feature: str
    kind: str
    rank: int
    """By the aggregator's evidence; 1 is the strongest."""
    shift: float
    control_gfi: float
    anomaly_gfi: float
    control_coverage: float
    anomaly_coverage: float
    control_rank: int
    anomaly_rank: int
    lower: float
    upper: float
    z: float
    significant: bool
    score: float = 0.0
    """Minus the decimal logarithm of the probability of as strong evidence in a clean window; 0
    where nobody told."""
    shift_rank: int = 0
    """By absolute shift, the paper's ranking; 0 where nobody told."""
    evidence: tuple[Evidence, ...] = ()
    """The strongest first."""


@dataclass(frozen=True)
class Comparison:
    """Two windows of one model, scored by one checkpoint."""

    control: Window
    anomaly: Window
    control_selection: str
    control_note: str
    verdict: Verdict
    feature_count: int
    significant_count: int
    shifts: tuple[FeatureShift, ...]
    """By rank."""
    history_count: int
    rank_by: str = "UNSPECIFIED"
    """What the shifts are ranked by, as the contract names it."""


@dataclass(frozen=True)
class ShiftEvent:
    """One closed window with known outcomes, and its shifts if it is anomalous."""

    cursor: str
    """Position in the model's stream."""
    model: str
    """`models/{model}`"""
    window: Window
    comparison: Comparison | None
