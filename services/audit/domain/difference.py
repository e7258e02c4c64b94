"""What appeared between two audits: hubs, exposure, concentration."""

from dataclasses import dataclass

from services.audit.domain.report import AuditReport, Finding, OutcomeLean


@dataclass(frozen=True)
class Change:
    """What became of one label."""

    label: str
    has_appeared: bool
    """It is a candidate now and was none."""
    usable_class_count_before: int
    usable_class_count: int
    exposure_before: float
    exposure: float
    has_concentration_appeared: bool
    """It leans to an outcome now, and did not."""
    concentration: OutcomeLean | None

    @property
    def growth(self) -> int:
        """Usable classes that came."""
        return self.usable_class_count - self.usable_class_count_before


@dataclass(frozen=True)
class Difference:
    """Changes from one report to a later one."""

    changes: tuple[Change, ...]
    """Of labels that changed: leaning ones first, then those that appeared, then by growth."""
    disappeared: tuple[str, ...]


def difference(before: AuditReport, after: AuditReport) -> Difference:
    """Compare two reports label by label."""
    known = {finding.label: finding for finding in before.findings}
    changes = [_change(known.get(finding.label), finding) for finding in after.findings]
    found = [change for change in changes if _has_changed(change)]
    found.sort(
        key=lambda c: (not c.has_concentration_appeared, not c.has_appeared, -c.growth, c.label)
    )
    remaining = {finding.label for finding in after.findings}
    return Difference(tuple(found), tuple(sorted(known.keys() - remaining)))


def _change(before: Finding | None, after: Finding) -> Change:
    return Change(
        label=after.label,
        has_appeared=before is None,
        usable_class_count_before=before.usable_class_count if before else 0,
        usable_class_count=after.usable_class_count,
        exposure_before=before.exposure if before else 0.0,
        exposure=after.exposure,
        has_concentration_appeared=_leans(after) and not (before and _leans(before)),
        concentration=after.concentration,
    )


def _leans(finding: Finding) -> bool:
    return finding.concentration is not None and finding.concentration.is_significant


def _has_changed(change: Change) -> bool:
    same = change.growth == 0 and change.exposure == change.exposure_before
    return change.has_appeared or change.has_concentration_appeared or not same
