"""What came of what a model predicted."""

from dataclasses import dataclass

from services.aggregator.domain.errors import InvalidOutcomes
from services.aggregator.domain.window import Interval

_MOST = 10**15
"""Sums of many reports stay exact in the store."""


@dataclass(frozen=True)
class OutcomeReport:
    """Expected and observed events of a stretch of event time.

    Raises:
        InvalidOutcomes: a count is beyond counting.
    """

    model: str
    request_id: str
    """Chosen by the sender; a report that arrives twice counts once."""
    interval: Interval
    expected: float
    """Sum of predictions over the examples whose outcome is known."""
    observed: int
    """Events among the same examples."""

    def __post_init__(self) -> None:
        for field, count in (("expected", self.expected), ("observed", self.observed)):
            if not 0 <= count <= _MOST:
                raise InvalidOutcomes(f"{count} lies outside 0 to {_MOST:.0e}", field=field)
