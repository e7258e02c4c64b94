"""What changed between two windows, and what is told about a closed one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.control import Control
from services.aggregator.domain.verdict import Verdict
from services.aggregator.domain.window import Window


@dataclass(frozen=True)
class FeatureImportance:
    """Global importance of one feature over one window."""

    feature: Feature
    gfi: float
    coverage: float
    standard_error: float
    rank: int
    """1 is the most important."""


@dataclass(frozen=True)
class FeatureShift:
    """Change of one feature's importance from control to anomaly."""

    feature: Feature
    rank: int
    """By absolute shift; 1 is the largest."""
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


@dataclass(frozen=True)
class Comparison:
    """Two windows of one model, scored by one checkpoint."""

    control: Control
    anomaly: Window
    verdict: Verdict
    feature_count: int
    significant_count: int
    shifts: Sequence[FeatureShift]
    """The top K by absolute shift."""
    history_count: int
    """Earlier window-to-window changes that the historical noise was estimated from."""


@dataclass(frozen=True)
class ShiftEvent:
    """One closed window with known outcomes, and its shifts when it is anomalous."""

    window: Window
    comparison: Comparison | None
    create_time: datetime
