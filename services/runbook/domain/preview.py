"""What calibration would be with a mitigation in force."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from services.runbook.domain.errors import PreviewUnavailable
from services.runbook.domain.evidence import Calibration

_Z95 = 1.959964
_Z999 = 3.290527
"""The aggregator's intervals of calibration cover 99.9 %."""


@dataclass(frozen=True)
class JointAblation:
    """Mean predictions over a window's sample, as things are and with features ablated together."""

    mean_prediction: float
    mitigated_mean_prediction: float
    ratio_standard_error: float
    """Of the ratio of the second to the first."""
    example_count: int
    checkpoint_digest: str


@dataclass(frozen=True)
class Alternative:
    """What else could be done, and its predicted calibration with its 95 % interval."""

    features: tuple[str, ...]
    """Switched off together; none: nothing is done."""
    calibration: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Preview:
    """Predicted calibration with its 95 % interval."""

    calibration: float
    lower: float
    upper: float
    example_count: int
    alternatives: tuple[Alternative, ...] = ()
    """Other sets of the features that were selected, smallest first, beginning with none."""

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all that it says."""
        return _digest(asdict(self))

    def __str__(self) -> str:
        return f"{self.calibration:.2f} ({self.lower:.2f} to {self.upper:.2f})"


@dataclass(frozen=True)
class MissingPreview:
    """There is no preview, and why."""

    reason: str

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the reason."""
        return _digest({"missing": self.reason})

    def __str__(self) -> str:
        return f"missing: {self.reason}"


def predict(calibration: Calibration, ablation: JointAblation) -> Preview:
    """Scale the window's calibration by what joint ablation does to the mean prediction.

        predicted = calibration.ratio * mitigated mean / mean

    The interval adds the relative variances of the count of events and of the sample's ratio.

    Raises:
        PreviewUnavailable: no events or no predictions, so that there is no ratio.
    """
    if not math.isfinite(calibration.distance) or calibration.observed == 0:
        raise PreviewUnavailable("the window has no calibration to scale: no events observed")
    if not (ablation.mean_prediction > 0 and ablation.mitigated_mean_prediction > 0):
        raise PreviewUnavailable("the sample's mean prediction is zero")
    ratio = ablation.mitigated_mean_prediction / ablation.mean_prediction
    predicted = calibration.ratio * ratio
    count_error = _log_error(calibration)
    error = math.hypot(count_error, ablation.ratio_standard_error / ratio)
    reach = math.exp(_Z95 * error)
    return Preview(predicted, predicted / reach, predicted * reach, ablation.example_count)


def recovery(preview: Preview, calibration: Calibration) -> float:
    """Return how much of the way back to 1 the preview goes.

        1 - |log predicted| / |log realised|

    1 is all of it, 0 none, less than 0 makes things worse. Seeded example: from 1.31 to 1.03 is
    0.89.
    """
    if calibration.distance == 0:
        return 0.0
    return 1 - abs(math.log(preview.calibration)) / calibration.distance


def _log_error(calibration: Calibration) -> float:
    if not 0 < calibration.lower <= calibration.upper < math.inf:
        return 1 / math.sqrt(calibration.observed)
    return math.log(calibration.upper / calibration.lower) / (2 * _Z999)


def _digest(told: Mapping[str, object]) -> str:
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
