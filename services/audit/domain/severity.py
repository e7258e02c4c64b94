"""How bad a finding is: exposure x evidence x lineage reach.

Being central is an opportunity: it correlates with being popular, and proves nothing. Evidence is
what was seen to happen: the label's rows lean to an outcome beyond its past, or a checkpoint's
predictions flip where its id is put in. The two are combined as independent witnesses,
`1 - (1 - lean)(1 - flips)`.
"""

from collections.abc import Iterable
from dataclasses import replace

from services.audit.domain.report import AuditReport, Finding


def evidence(finding: Finding) -> float | None:
    """Return what speaks for a finding, in [0, 1]; None where nothing was looked at."""
    seen = []
    if finding.concentration is not None:
        lean = finding.concentration
        seen.append(max(0.0, lean.share - lean.expected_share) if lean.is_significant else 0.0)
    if finding.insertion is not None and finding.insertion.example_count:
        seen.append(finding.insertion.flipped_one_way / finding.insertion.example_count)
    if not seen:
        return None
    doubt = 1.0
    for share in seen:
        doubt *= 1.0 - share
    return 1.0 - doubt


def assessed(report: AuditReport, model_count: int | None) -> AuditReport:
    """Return the report with the severity of each finding, the worst first.

    Args:
        report: with all the evidence that there is.
        model_count: models downstream of the data; None: not known, which counts as one.
    """
    reach = 1 if model_count is None else model_count
    findings = [_assessed(finding, reach) for finding in report.findings]
    return replace(report, findings=tuple(worst_first(findings)), model_count=model_count)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by falling severity, then evidence, usable classes and exposure."""
    return sorted(
        findings,
        key=lambda finding: (
            -(finding.severity or 0.0),
            -(finding.evidence or 0.0),
            -finding.usable_class_count,
            -finding.exposure,
            finding.label,
        ),
    )


def _assessed(finding: Finding, reach: int) -> Finding:
    seen = evidence(finding)
    severity = None if seen is None else finding.exposure * seen * reach
    return replace(finding, evidence=seen, severity=severity)
