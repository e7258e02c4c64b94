"""What appeared between two audits."""

from dataclasses import replace

from services.audit.domain.difference import difference
from services.audit.domain.report import AuditReport, Finding, PoisonableClass
from tests.unit.services.audit.domain.test_severity import HUB, LEAN

CLASSES = tuple(PoisonableClass(f"c{i}", 60, 300, is_usable=True) for i in range(6))


def _report(*findings: Finding) -> AuditReport:
    return AuditReport(100, 10, 20, findings)


def test_nothing_changed_is_nothing_told() -> None:
    assert difference(_report(HUB), _report(HUB)).changes == ()


def test_hubs_exposure_and_concentration_that_appeared() -> None:
    before = _report(HUB, replace(HUB, label="chair"), replace(HUB, label="gone"))
    after = _report(
        replace(HUB, classes=CLASSES, exposure=0.5),
        replace(HUB, label="chair", concentration=LEAN),
        replace(HUB, label="lamp"),
    )
    found = difference(before, after)
    assert [change.label for change in found.changes] == ["chair", "lamp", "wheel"]
    assert found.disappeared == ("gone",)
    chair, lamp, wheel = found.changes
    assert chair.has_concentration_appeared
    assert chair.concentration == LEAN
    assert lamp.has_appeared
    assert not wheel.has_appeared
    assert (wheel.growth, wheel.exposure_before, wheel.exposure) == (6, 0.4, 0.5)


def test_a_concentration_that_was_there_is_none_that_appeared() -> None:
    leaning = replace(HUB, concentration=LEAN)
    assert difference(_report(leaning), _report(leaning)).changes == ()
