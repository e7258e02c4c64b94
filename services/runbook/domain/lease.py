"""What is in force is a lease: unless somebody renews it, a kill's features are served again by
stages, a mask's ids at once, and rows are trained on as before."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import LEASED, Mitigation, MitigationState, Stage
from services.runbook.domain.plan import MitigationKind, Plan

_AT_ONCE = (100,)


@dataclass(frozen=True)
class LeaseTerms:
    """How long a kill lasts, and how it ends."""

    length: timedelta = timedelta(hours=24)
    reapproval: timedelta = timedelta(hours=1)
    """How long somebody may renew it after it lapsed, before it is released."""
    stages: tuple[int, ...] = (1, 10, 100)
    """Percent of traffic that is served the features again, one after the other."""
    rows: timedelta = timedelta(days=7)
    """How long actions on rows last: a checkpoint is to be trained and a snapshot audited by then.
    """

    def stages_of(self, plan: Plan) -> tuple[int, ...]:
        """Return the percents of traffic by which the plan's release goes."""
        return self.stages if plan.kind is MitigationKind.KILL_SWITCH else _AT_ONCE


def leased(mitigation: Mitigation, terms: LeaseTerms, time: datetime) -> Mitigation:
    """Return the mitigation with a lease from `time` on. A rollback has none."""
    kind = mitigation.plan.kind
    if kind is MitigationKind.CHECKPOINT_ROLLBACK:
        return mitigation
    length = terms.rows if kind.is_on_rows else terms.length
    return replace(mitigation, lease_expire_time=time + length)


def lapses(mitigation: Mitigation, terms: LeaseTerms) -> tuple[datetime, ...]:
    """Return when somebody has to see to the mitigation's lease."""
    until = mitigation.lease_expire_time
    return () if until is None else (until, until + terms.reapproval)


def lapsed(incident: Incident, terms: LeaseTerms, time: datetime) -> Incident:
    """Return the incident after what its lapsed leases lead to; itself if there are none."""
    for mitigation in incident.mitigations:
        until = mitigation.lease_expire_time
        if until is None or mitigation.state not in LEASED or time < until:
            continue
        if time < until + terms.reapproval:
            incident = _asked(incident, mitigation, until + terms.reapproval, time)
        else:
            incident = _ended(incident, mitigation, terms, time)
    return incident


def released(
    incident: Incident,
    mitigation: Mitigation,
    percent: int,
    *,
    actor: str,
    time: datetime,
    why: str,
) -> Incident:
    """Return the incident with its kill or mask at a stage of its release.

    Raises:
        InvalidTransition: the mitigation is not effective, and not being released.
    """
    model = incident.model.removeprefix("models/")
    staged = incident.with_mitigation(replace(mitigation, stage=Stage(percent)))
    advice = f"Serving again to {percent} % of {model}'s traffic: {mitigation.plan.subject}."
    return staged.moved(
        mitigation.id,
        MitigationState.RELEASING,
        actor=actor,
        time=time,
        reason=why,
        told=f"serving again to {percent} %",
    ).advised(advice)


def killed_again(
    incident: Incident, mitigation: Mitigation, *, actor: str, time: datetime, why: str
) -> Incident:
    """Return the incident with a release taken back: what was approved is put in force again.

    Raises:
        InvalidTransition: the mitigation is not being released.
    """
    again = "Killed" if mitigation.plan.kind is MitigationKind.KILL_SWITCH else "Masked"
    advice = f"{again} again: {mitigation.plan.subject} ({why}). This needs a person."
    return incident.moved(
        mitigation.id,
        MitigationState.APPLYING,
        actor=actor,
        time=time,
        reason=why,
        told=f"{again.lower()} again",
    ).advised(advice)


def _asked(incident: Incident, mitigation: Mitigation, until: datetime, time: datetime) -> Incident:
    plan = mitigation.plan
    advice = (
        f"The {plan.kind.noun} of {plan.subject} has lapsed: renew it, or from "
        f"{until:%Y-%m-%d %H:%M} UTC {_consequence(mitigation)}."
    )
    if incident.advice == advice:
        return incident
    return incident.advised(advice).noted(time, SERVICE, advice)


def _ended(
    incident: Incident, mitigation: Mitigation, terms: LeaseTerms, time: datetime
) -> Incident:
    plan, why = mitigation.plan, "its lease lapsed and nobody renewed it"
    if mitigation.state is MitigationState.EFFECTIVE and plan.kind.is_on_serving:
        percent = terms.stages_of(plan)[0]
        return released(incident, mitigation, percent, actor=SERVICE, time=time, why=why)
    if mitigation.state is not MitigationState.EFFECTIVE:
        why = "its lease lapsed before any window told whether it helped, and nobody renewed it"
    return incident.moved(
        mitigation.id, MitigationState.REVERTING, actor=SERVICE, time=time, reason=why
    ).advised(f"To {mitigation.plan} is being taken back: {why}. This needs a person.")


def _consequence(mitigation: Mitigation) -> str:
    if mitigation.state is not MitigationState.EFFECTIVE:
        return "it is taken back, since no window told whether it helped"
    match mitigation.plan.kind:
        case MitigationKind.KILL_SWITCH:
            return "its features are served again by stages"
        case MitigationKind.ID_MASK:
            return "its ids are served again"
        case _:
            return "it is taken back"
