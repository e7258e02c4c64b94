"""A release, stage by stage: further while calibration is healthy, back where it is not."""

from dataclasses import replace
from datetime import datetime

from services.runbook.domain.conclusion import MANY_WINDOWS, asked
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.lease import LeaseTerms, killed_again, released
from services.runbook.domain.mitigation import Mitigation, Stage
from services.runbook.domain.verification import Judgement, broken_calibration, judge, verify


def staged(
    incident: Incident, mitigation: Mitigation, terms: LeaseTerms, needed: int, time: datetime
) -> Incident:
    """Return the incident after what later windows say of a release; itself if nothing.

    One anomalous window is enough to kill again; it takes `needed` healthy ones to go on.
    """
    stage, broken = mitigation.stage, broken_calibration(incident.windows, mitigation.applied_after)
    if stage is None or stage.since is None or stage.passed:
        return incident
    verification = verify(incident.windows, applied_after=stage.since, broken=broken, needed=needed)
    for window in incident.windows:
        bad = judge(window.calibration, broken) is Judgement.NOT_EFFECTIVE
        if bad and window.start_time >= stage.since:
            why = f"worse at {stage.percent} %: calibration {window.calibration} in {window.id}"
            return killed_again(incident, mitigation, actor=SERVICE, time=time, why=why)
    if verification.judgement is Judgement.EFFECTIVE:
        return _further(incident, mitigation, stage, terms, time)
    if len(verification.windows) < MANY_WINDOWS * needed:
        return incident
    advice = (
        f"{len(verification.windows)} windows do not tell whether calibration is healthy with "
        f"{stage.percent} % of traffic served {mitigation.plan.subject} again: renew "
        f"the {mitigation.plan.kind.noun}, revert it, or wait for more."
    )
    return asked(incident, advice, time)


def _further(
    incident: Incident, mitigation: Mitigation, stage: Stage, terms: LeaseTerms, time: datetime
) -> Incident:
    later = [percent for percent in terms.stages_of(mitigation.plan) if percent > stage.percent]
    if not later:
        return incident.with_mitigation(replace(mitigation, stage=replace(stage, passed=True)))
    why = f"calibration is healthy at {stage.percent} %"
    return released(incident, mitigation, later[0], actor=SERVICE, time=time, why=why)
