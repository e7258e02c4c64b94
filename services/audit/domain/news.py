"""What others want to know of a report: what speaks against labels, and what does not."""

from dataclasses import dataclass

from services.audit.domain.report import AuditReport, Finding

_MOST_TOLD = 50
_MOST_CLEARED = 500


@dataclass(frozen=True)
class AuditNews:
    """What goes into the timeline."""

    findings: tuple[Finding, ...]
    """With evidence, the worst first: being central alone is nothing that happened."""
    cleared: tuple[Finding, ...]
    """Looked at, without any evidence."""
    model_count: int | None
    """Models downstream. None: not known."""


def news_of(report: AuditReport) -> AuditNews | None:
    """Return the news of a report; None where nothing was looked at that is evidence."""
    looked_at = [finding for finding in report.findings if finding.evidence is not None]
    if not looked_at:
        return None
    told = [finding for finding in looked_at if finding.evidence]
    cleared = [finding for finding in looked_at if not finding.evidence]
    return AuditNews(tuple(told[:_MOST_TOLD]), tuple(cleared[:_MOST_CLEARED]), report.model_count)
