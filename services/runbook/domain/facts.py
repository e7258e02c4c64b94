"""What conditions see of a case: variables, their fields, and the values."""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields

from services.runbook.domain.case import Case
from services.runbook.domain.evidence import Calibration, FeatureShift
from services.runbook.domain.finding import AuditFinding
from services.runbook.domain.preview import MissingPreview, Preview, recovery
from services.runbook.domain.track_record import TrackRecord

Fields = Mapping[str, frozenset[str]]
"""Variables that a condition may use, and the fields of each; none where it is a value itself."""

UNKNOWN_RADIUS = 1_000_000
"""Models downstream that conditions see where nobody can say how many there are: the worst is
assumed."""

Fact = str | int | float | bool

Facts = Mapping[str, Fact | Mapping[str, Fact] | tuple[str, ...]]
"""What a condition sees, by variable name."""


def _fields_of(noun: type, *derived: str) -> frozenset[str]:
    return frozenset({each.name for each in fields(noun)} | set(derived))


WHEN_FIELDS: Fields = {
    "model": frozenset(),
    "verdict": frozenset(),
    "anomalous_windows": frozenset(),
    "calibration": _fields_of(Calibration),
    "comparison": frozenset({"feature_count", "significant_count", "history_count"}),
    "history": _fields_of(TrackRecord),
    "lineage": frozenset({"audit_findings", "audit_severity", "blast_radius", "known"}),
}

FEATURES_FIELDS: Fields = {
    **WHEN_FIELDS,
    "shift": _fields_of(
        FeatureShift, "abs_shift", "abs_z", "share_of_top", "coverage_change", "rank_change"
    )
    - {"evidence"},
}

PROPOSE_IF_FIELDS: Fields = {
    **WHEN_FIELDS,
    "features": frozenset(),
    "preview": _fields_of(Preview, "available", "recovery") - {"alternatives"},
}

FINDINGS_FIELDS: Fields = {
    **WHEN_FIELDS,
    "finding": frozenset(
        {
            "label",
            "node",
            "feature",
            "severity",
            "exposure",
            "evidence",
            "outcome",
            "row_count",
            "share",
            "expected_share",
            "z",
            "significant",
            "flips",
        }
    ),
}

OPEN_INCIDENT_FIELDS: Fields = {"model": frozenset(), "finding": FINDINGS_FIELDS["finding"]}
"""What decides whether a finding opens an incident of a model."""


def case_facts(case: Case) -> dict[str, Fact | Mapping[str, Fact] | tuple[str, ...]]:
    """Return what every condition sees."""
    comparison = case.comparison
    return {
        "model": case.model.removeprefix("models/"),
        "verdict": case.verdict.value,
        "anomalous_windows": case.anomalous_windows,
        "calibration": _known(asdict(case.calibration)),
        "comparison": {
            "feature_count": comparison.feature_count if comparison else 0,
            "significant_count": comparison.significant_count if comparison else 0,
            "history_count": comparison.history_count if comparison else 0,
        },
        "history": asdict(case.history),
        "lineage": _lineage_facts(case),
    }


def _lineage_facts(case: Case) -> Mapping[str, Fact]:
    models = case.downstream.models
    return {
        "audit_findings": len(case.findings),
        "audit_severity": max((each.severity for each in case.findings), default=0.0),
        "blast_radius": UNKNOWN_RADIUS if models is None else models,
        "known": models is not None,
    }


def finding_facts(finding: AuditFinding) -> Mapping[str, Fact]:
    """Return what a `when` condition of an action on findings sees besides.

    What was not looked at is 0, false or empty.
    """
    lean, flips = finding.lean, finding.flips
    return _known(
        {
            "label": finding.label,
            "node": finding.node,
            "feature": finding.feature,
            "severity": finding.severity,
            "exposure": finding.exposure,
            "evidence": finding.evidence,
            "outcome": lean.outcome if lean else "",
            "row_count": lean.row_count if lean else 0,
            "share": lean.share if lean else 0.0,
            "expected_share": lean.expected_share if lean else 0.0,
            "z": lean.z if lean else 0.0,
            "significant": lean.significant if lean else False,
            "flips": flips.share if flips else 0.0,
        }
    )


def shift_facts(shift: FeatureShift, top: float) -> Mapping[str, Fact]:
    """Return what a `features` condition sees besides; `top` is the largest absolute shift."""
    told = {each.name: getattr(shift, each.name) for each in fields(shift)}
    del told["evidence"]
    return _known(
        told
        | {
            "abs_shift": abs(shift.shift),
            "abs_z": abs(shift.z),
            "share_of_top": abs(shift.shift) / top if top > 0 else 0.0,
            "coverage_change": shift.anomaly_coverage - shift.control_coverage,
            "rank_change": shift.control_rank - shift.anomaly_rank,
        }
    )


def preview_facts(
    preview: Preview | MissingPreview, calibration: Calibration
) -> Mapping[str, Fact]:
    """Return what a `propose_if` condition sees besides."""
    if isinstance(preview, MissingPreview):
        nothing = {"calibration": 0.0, "lower": 0.0, "upper": 0.0, "recovery": 0.0}
        return {"available": False, "example_count": 0, **nothing}
    told = {name: value for name, value in asdict(preview).items() if name != "alternatives"}
    return _known({"available": True, **told, "recovery": recovery(preview, calibration)})


def _known(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    # A NaN compares with nothing, and would fail the condition instead of answering it.
    return {
        name: 0.0 if isinstance(fact, float) and math.isnan(fact) else fact
        for name, fact in facts.items()
    }
