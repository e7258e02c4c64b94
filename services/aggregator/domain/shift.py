"""What changed between two windows, and what is told about a closed one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.control import Control
from services.aggregator.domain.evidence import Evidence
from services.aggregator.domain.verdict import Verdict
from services.aggregator.domain.window import Window


class RankBy(Enum):
    """What features are ranked by: the fused score, or one signal as it is."""

    EVIDENCE = "EVIDENCE"
    GFI_SHIFT = "GFI_SHIFT"
    MFC_SHIFT = "MFC_SHIFT"
    LFI_DISTANCE = "LFI_DISTANCE"
    COVERAGE_CHANGE = "COVERAGE_CHANGE"
    VALUE_DISTANCE = "VALUE_DISTANCE"


class AlertReason(Enum):
    """Why an event carries a comparison."""

    CALIBRATION = "CALIBRATION"
    EVIDENCE = "EVIDENCE"


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
    """In the ranking that was asked for; 1 is the first."""
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
    score: float
    """-log10 of the probability that a feature of a clean window scores as high."""
    evidence: Sequence[Evidence]
    """The strongest first."""
    shift_rank: int
    """By absolute shift, the paper's ranking; 1 is the largest."""


@dataclass(frozen=True)
class Comparison:
    """Two windows of one model, scored by one checkpoint."""

    control: Control
    anomaly: Window
    verdict: Verdict
    feature_count: int
    significant_count: int
    shifts: Sequence[FeatureShift]
    """The top K by rank."""
    history_count: int
    """Earlier window-to-window changes that the historical noise was estimated from."""
    rank_by: RankBy
    chance: float | None = None
    """Probability that a clean window holds a feature that scores as high as the highest here; None
    where the past is too short to tell."""


@dataclass(frozen=True)
class ShiftEvent:
    """One closed window with known outcomes, and its shifts when it is anomalous."""

    window: Window
    comparison: Comparison | None
    create_time: datetime
    alert: AlertReason | None = None
