"""Later windows say whether it helped; what did not help is undone."""

from dataclasses import dataclass, replace
from datetime import datetime

from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.verification import (
    Judgement,
    Verification,
    as_previewed,
    broken_calibration,
    verify,
)
from services.runbook.domain.work import Claim, Work, WorkKind
from services.runbook.ports import Clock, PolicySource, Store, UnitOfWork

_PATIENCE = 3
"""Times the windows needed, after which a person is asked."""


@dataclass(frozen=True)
class Verify:
    """Looks at an open incident's later windows and draws the consequence."""

    store: Store
    policies: PolicySource
    clock: Clock

    async def __call__(self, claim: Claim) -> None:
        """Carry the claimed work out."""
        needed = self.policies.current().verification_windows
        time = self.clock.now()
        await self.store.transact(lambda unit: _verify(unit, claim, needed, time))


def _verify(unit: UnitOfWork, claim: Claim, needed: int, time: datetime) -> None:
    unit.outbox.finish(claim)
    incident = unit.incidents.get(claim.work.incident)
    if not incident.is_open:
        return
    mitigation = incident.under_way
    if mitigation is None or mitigation.state is MitigationState.PROPOSED:
        verified = _recovered(incident, needed, time)
    elif mitigation.state in {MitigationState.APPLIED, MitigationState.VERIFYING}:
        verified = _mitigated(incident, mitigation, needed, time)
    else:
        return
    if verified is incident:
        return
    unit.incidents.save(verified)
    if mitigation and verified.mitigation(mitigation.id).state is MitigationState.REVERTING:
        unit.outbox.put(Work(WorkKind.REVERT, incident.id, mitigation.id), time)


def _recovered(incident: Incident, needed: int, time: datetime) -> Incident:
    newest = incident.anomalies[-1]
    verification = verify(
        incident.windows,
        applied_after=newest.end_time,
        broken=newest.calibration,
        needed=needed,
    )
    if verification.judgement is not Judgement.EFFECTIVE:
        return incident
    reason = f"calibration is healthy again for {needed} windows"
    if proposal := incident.under_way:
        incident = incident.moved(
            proposal.id, MitigationState.EXPIRED, actor=SERVICE, time=time, reason=reason
        )
    return incident.closed(actor=SERVICE, time=time, reason=reason)


def _mitigated(incident: Incident, mitigation: Mitigation, needed: int, time: datetime) -> Incident:
    after = mitigation.applied_after
    broken = broken_calibration(incident.windows, after)
    if after is None or broken is None:
        return incident
    verification = verify(incident.windows, applied_after=after, broken=broken, needed=needed)
    if not verification.windows:
        return incident
    if mitigation.state is MitigationState.APPLIED:
        reason = f"first window since: {verification.windows[0].id}"
        incident = incident.moved(
            mitigation.id, MitigationState.VERIFYING, actor=SERVICE, time=time, reason=reason
        )
    return _concluded(incident, mitigation.id, verification, needed, time)


def _concluded(
    incident: Incident,
    mitigation_id: str,
    verification: Verification,
    needed: int,
    time: datetime,
) -> Incident:
    mitigation = incident.mitigation(mitigation_id)
    if verification.judgement is Judgement.INCONCLUSIVE:
        return _asking(incident, mitigation, len(verification.windows), needed, time)
    deciding = verification.windows[-1]
    realised = deciding.calibration
    found = f"calibration {realised} in window {deciding.id}"
    incident = incident.with_mitigation(replace(mitigation, verified_calibration=realised.ratio))
    if verification.judgement is Judgement.EFFECTIVE:
        reason = f"{found}, {as_previewed(realised, mitigation.preview)}"
        return incident.moved(
            mitigation_id, MitigationState.EFFECTIVE, actor=SERVICE, time=time, reason=reason
        ).closed(actor=SERVICE, time=time, reason=f"{mitigation.plan} was effective")
    reason = f"no help after {needed} windows: {found}"
    return incident.moved(
        mitigation_id, MitigationState.REVERTING, actor=SERVICE, time=time, reason=reason
    ).advised(f"To {mitigation.plan} did not help and is being taken back. This needs a person.")


def _asking(
    incident: Incident, mitigation: Mitigation, seen: int, needed: int, time: datetime
) -> Incident:
    advice = (
        f"{seen} windows do not tell whether to {mitigation.plan} helped. It stays in force: "
        "revert it, or wait for more."
    )
    if seen < _PATIENCE * needed or incident.advice == advice:
        return incident
    return incident.advised(advice).noted(time, SERVICE, advice)
