"""An incident as policies look at it."""

from dataclasses import dataclass, field

from services.runbook.domain.blast_radius import NOT_ASKED, Downstream
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.evidence import Calibration, Comparison, FeatureShift, Window
from services.runbook.domain.finding import AuditFinding
from services.runbook.domain.track_record import TrackRecord

_UNBROKEN = Calibration(1.0, 1.0, 1.0, 0.0, 0, anomalous=False)


@dataclass(frozen=True)
class Case:
    """An incident as a policy looks at it."""

    model: str
    """`models/{model}`"""
    verdict: IncidentVerdict
    comparison: Comparison | None
    """None: there was no window to compare with."""
    window: Window | None
    """The anomalous one that the comparison, and so the preview, is about. None: calibration is
    healthy, and what audits found is why there is an incident."""
    anomalous_windows: int
    killed: frozenset[str]
    """Features of the model that are switched off already: their shifts are our own doing."""
    history: TrackRecord = field(default_factory=TrackRecord)
    downstream: Downstream = NOT_ASKED
    findings: tuple[AuditFinding, ...] = ()
    """Of audits lately, in what feeds the model; none where nobody can say."""

    @property
    def calibration(self) -> Calibration:
        """Of the window; healthy where there is none."""
        return self.window.calibration if self.window else _UNBROKEN

    @property
    def candidates(self) -> tuple[FeatureShift, ...]:
        """The shifts that could still be mended, by rank."""
        shifts = self.comparison.shifts if self.comparison else ()
        return tuple(s for s in shifts if s.feature not in self.killed)
