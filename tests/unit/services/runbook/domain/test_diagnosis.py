"""What broke, and what leads to a mitigation."""

import pytest

from services.runbook.domain.diagnosis import (
    MITIGABLE,
    IncidentVerdict,
    advice_on,
    culprits,
    diagnose,
)
from services.runbook.domain.evidence import Comparison, Verdict
from tests.unit.services.runbook.builders import comparison, shift

MANY = comparison(1, shifts=[shift(f"f{rank}", rank, 1.0) for rank in range(1, 76)])
"""75 of 150 features."""
DRIFT = comparison(1, verdict=Verdict.NO_FEATURE_EXPLAINS, shifts=())
FEW = comparison(1, verdict=Verdict.INSUFFICIENT_DATA)


@pytest.mark.parametrize(
    ("compared", "new", "verdict"),
    [
        (comparison(1), False, "FEATURE_CORRUPTION"),
        (comparison(1), True, "FEATURE_CORRUPTION"),
        (MANY, False, "FEATURE_CORRUPTION"),
        (MANY, True, "CHECKPOINT_REGRESSION"),
        (None, True, "CHECKPOINT_REGRESSION"),
        (None, False, "INSUFFICIENT_DATA"),
        (FEW, True, "INSUFFICIENT_DATA"),
        (DRIFT, True, "LABEL_OR_CONCEPT_DRIFT"),
    ],
)
def test_the_verdict(compared: Comparison | None, new: bool, verdict: str) -> None:
    assert diagnose(compared, new_checkpoint=new) is IncidentVerdict(verdict)


def test_two_verdicts_lead_to_mitigations() -> None:
    assert {
        IncidentVerdict.FEATURE_CORRUPTION,
        IncidentVerdict.CHECKPOINT_REGRESSION,
    } == MITIGABLE


@pytest.mark.parametrize(
    ("compared", "new", "advice"),
    [
        (None, False, "No healthy control window"),
        (None, True, "the new checkpoint"),
        (DRIFT, False, "the labels"),
        (FEW, False, "Too few examples"),
        (comparison(1), False, "Most likely: user_embedding, genres."),
    ],
)
def test_what_to_look_at(compared: Comparison | None, new: bool, advice: str) -> None:
    assert advice in advice_on(diagnose(compared, new_checkpoint=new), compared)


def test_culprits_stand_out() -> None:
    shifts = [
        shift("broken", 1, -1.0),
        shift("too", 2, 0.3),
        shift("dragged", 3, 0.29),
        shift("noise", 4, 0.9, z=1.0),
    ]
    compared = comparison(1, shifts=shifts)
    assert culprits(compared) == {"broken", "too"}
    # What we switched off shifted by our own doing.
    assert culprits(compared, {"broken"}) == {"too", "dragged"}
    assert culprits(None) == frozenset()
