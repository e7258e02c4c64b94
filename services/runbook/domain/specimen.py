"""Made-up facts that show whether a condition asks its questions of the right types."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from services.runbook.domain.case import Case
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.errors import ConditionFailed, InvalidPolicy
from services.runbook.domain.evidence import (
    Calibration,
    Comparison,
    FeatureShift,
    Verdict,
    Window,
)
from services.runbook.domain.facts import (
    Facts,
    Fields,
    case_facts,
    finding_facts,
    preview_facts,
    shift_facts,
)
from services.runbook.domain.finding import AuditFinding, Flips, Lean
from services.runbook.domain.policy import Condition
from services.runbook.domain.preview import MissingPreview, Preview

_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_OUT = Calibration(1.3, 1.2, 1.4, 1300.0, 1000, anomalous=True)
_WINDOW = Window("models/m/windows/w", _TIME, _TIME, "digest", 2000, 2000, _OUT)
_LARGE = FeatureShift(
    feature="f",
    kind="NUMERIC",
    rank=1,
    shift=1.0,
    control_gfi=0.1,
    anomaly_gfi=1.1,
    control_coverage=0.9,
    anomaly_coverage=0.5,
    control_rank=90,
    anomaly_rank=1,
    lower=0.9,
    upper=1.1,
    z=50.0,
    significant=True,
)
_SMALL = replace(_LARGE, rank=30, shift=-0.001, z=-0.1, significant=False)
_COMPARISON = Comparison(
    control=_WINDOW,
    anomaly=_WINDOW,
    control_selection="PREVIOUS_HOUR",
    control_note="",
    verdict=Verdict.FEATURE_CORRUPTION,
    feature_count=100,
    significant_count=1,
    shifts=(_LARGE, _SMALL),
    history_count=20,
)
_CASE = Case("models/m", IncidentVerdict.FEATURE_CORRUPTION, _COMPARISON, _WINDOW, 1, frozenset())
_HEALTHY = replace(_WINDOW, calibration=replace(_OUT, ratio=1.0, anomalous=False))
_OTHER = replace(_CASE, verdict=IncidentVerdict.INSUFFICIENT_DATA, window=_HEALTHY)
_FINDING = AuditFinding(
    "audits/A/1",
    _TIME,
    label="1",
    feature="f",
    severity=1.0,
    lean=Lean("1", 100, 0.9, 0.1, 50.0, significant=True),
    flips=Flips("models/m", 1000, 500, 0),
)
_WORDS = AuditFinding("audits/A/2", _TIME, label="word")
_PREVIEW = Preview(1.0, 0.9, 1.1, 2000)


def _specimens() -> tuple[Facts, ...]:
    return tuple(
        {
            **case_facts(case),
            "shift": shift_facts(shift, 1.0),
            "finding": finding_facts(finding),
            "features": ("f",),
            "preview": preview_facts(preview, case.calibration),
        }
        for case in (_CASE, _OTHER)
        for shift, finding in ((_LARGE, _FINDING), (_SMALL, _WORDS))
        for preview in (_PREVIEW, MissingPreview("none"))
    )


def probe(condition: Condition, fields: Fields) -> None:
    """Ask the condition of made-up facts, so that a mistake in it shows before an incident does.

    Raises:
        InvalidPolicy: it compares what has different types, or answers neither yes nor no.
    """
    for facts in _specimens():
        visible: Mapping[str, object] = {name: facts[name] for name in fields}
        try:
            condition.holds(visible)  # type: ignore[arg-type]
        except ConditionFailed as error:
            # What depends on the numbers, such as an index out of range, may be fine in earnest.
            if error.__cause__ is None or isinstance(error.__cause__, TypeError):
                raise InvalidPolicy(str(error)) from error
