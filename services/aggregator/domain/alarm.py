"""When evidence alone is worth an alarm, though calibration is healthy.

Drift of features, labels and concepts is hard to tell apart in healthy windows: alerting on shifts
alone was found imprecise (R. Vishnampet et al., section 5). So the level is a rate of false alarms:
with c the probability that a clean window holds a feature that scores as high as the highest here,
there is an alarm if

    c * windows a week <= false alarms a week.
"""

from dataclasses import dataclass
from datetime import timedelta

from services.aggregator.domain.shift import Comparison
from services.aggregator.domain.verdict import Verdict

FEWEST_CHANGES = 48
"""Of earlier healthy windows: fewer say too little about what chance does once in a week."""
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class EvidenceAlarm:
    """Raised by no more than so many clean windows of a model a week; 0 for never."""

    false_alarms_per_week: float

    @property
    def is_on(self) -> bool:
        """Whether evidence alone can raise an alarm at all."""
        return self.false_alarms_per_week > 0

    def __call__(self, comparison: Comparison) -> bool:
        """Return whether the comparison is worth an alarm by itself."""
        chance = comparison.chance
        if chance is None or comparison.history_count < FEWEST_CHANGES:
            return False
        interval = comparison.anomaly.interval
        windows_per_week = _WEEK / (interval.end - interval.start)
        is_rare = chance * windows_per_week <= self.false_alarms_per_week
        return is_rare and comparison.verdict is Verdict.FEATURE_CORRUPTION
