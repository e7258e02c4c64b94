"""Severity: exposure x evidence x reach, and nothing where nothing was seen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.report import AuditReport, Finding, Insertion, OutcomeLean
from services.audit.domain.severity import assessed, evidence

HUB = Finding(
    label="wheel",
    neighbour_count=40,
    row_count=900,
    rankings=(),
    classes=(),
    is_usable=False,
    exposure=0.4,
)
LEAN = OutcomeLean("click", 900, 0.6, 0.1, 9.0, 1e-9, is_significant=True)
FLIPS = Insertion(200, 3, 100, 1, 0.1, 0.6, 2.0, 2.5)


def test_a_hub_alone_is_no_evidence() -> None:
    assert evidence(HUB) is None
    (found,) = assessed(AuditReport(0, 0, 0, (HUB,)), model_count=7).findings
    assert found.severity is None


def test_a_lean_that_could_be_chance_counts_nothing() -> None:
    assert evidence(replace(HUB, concentration=replace(LEAN, is_significant=False))) == 0.0


def test_witnesses_are_combined() -> None:
    seen = evidence(replace(HUB, concentration=LEAN, insertion=FLIPS))
    assert seen == pytest.approx(1 - (1 - 0.5) * (1 - 0.5))


def test_severity_is_the_product() -> None:
    report = AuditReport(0, 0, 0, (HUB, replace(HUB, label="chair", concentration=LEAN)))
    found = assessed(report, model_count=3)
    assert found.findings[0].label == "chair"
    assert found.findings[0].severity == pytest.approx(0.4 * 0.5 * 3)
    assert found.model_count == 3
    unknown = assessed(report, model_count=None)
    assert unknown.findings[0].severity == pytest.approx(0.4 * 0.5)


@given(
    share=st.floats(0, 1),
    expected=st.floats(0, 1),
    significant=st.booleans(),
    flips=st.integers(0, 200),
)
def test_evidence_is_a_share(share: float, expected: float, significant: bool, flips: int) -> None:
    lean = replace(LEAN, share=share, expected_share=expected, is_significant=significant)
    both = replace(HUB, concentration=lean, insertion=replace(FLIPS, flipped_up=flips))
    seen, alone = evidence(both), evidence(replace(both, insertion=None))
    assert seen is not None
    assert alone is not None
    assert 0.0 <= alone <= seen <= 1.0


def test_flips_to_one_class_count_and_those_away_from_it_do_not() -> None:
    to_class = replace(FLIPS, flipped_up=10, flipped_down=150, to_class="car")
    assert evidence(replace(HUB, insertion=to_class)) == pytest.approx(10 / 200)
    assert evidence(replace(HUB, insertion=replace(to_class, to_class=""))) == 150 / 200
