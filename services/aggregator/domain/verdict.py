"""What a comparison says in one word."""

from enum import Enum

from services.aggregator.domain.summary import Summary


class Verdict(Enum):
    """Whether features explain the difference between two windows."""

    FEATURE_CORRUPTION = "FEATURE_CORRUPTION"
    NO_FEATURE_EXPLAINS = "NO_FEATURE_EXPLAINS"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


def decide(
    control: Summary, anomaly: Summary, significant_count: int, fewest_examples: int
) -> Verdict:
    """Return the verdict; with fewer examples in either window than asked for there is none."""
    if min(control.example_count, anomaly.example_count) < fewest_examples:
        return Verdict.INSUFFICIENT_DATA
    return Verdict.FEATURE_CORRUPTION if significant_count else Verdict.NO_FEATURE_EXPLAINS
