"""What later windows make of an incident: recovered, mended, not mended, or nobody knows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.runbook.domain.evidence import Window
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import Mitigation, MitigationState
from services.runbook.domain.plan import MitigationKind
from services.runbook.domain.verification import (
    Judgement,
    Verification,
    as_previewed,
    broken_calibration,
    verify,
)

MANY_WINDOWS = 3
"""Times the windows needed, after which a person is asked."""
_LATER = (
    "It acts on checkpoints that are trained from now on: no window of the one that is served can "
    "tell whether it helps. Audit the next snapshot, and revert it if the label still leans."
)
_GONE = 0.1
"""Share of its former importance under which a feature counts as switched off."""


@dataclass(frozen=True)
class VerificationTerms:
    """What it takes to know."""

    windows: int
    """Consecutive windows that must agree."""
    patience: timedelta = timedelta(hours=4)
    """Wall time after which a person is asked about a mitigation that no window has judged."""


Importances = Mapping[str, Mapping[str, float]]
"""GFI of a mitigation's features by feature, by window name; none where nobody knows."""


def recovered(incident: Incident, needed: int, time: datetime) -> Incident:
    """Return the incident closed, if it healed without a mitigation; itself if it did not."""
    if not incident.anomalies:
        return incident
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


def verification_of(incident: Incident, mitigation: Mitigation, needed: int) -> Verification | None:
    """Return what the windows since a mitigation say; None where none of them can: it is not
    applied, or acts on checkpoints to come."""
    after = mitigation.applied_after
    if after is None or mitigation.plan.kind.is_on_rows:
        return None
    broken = broken_calibration(incident.windows, after)
    return verify(incident.windows, applied_after=after, broken=broken, needed=needed)


def judged(
    incident: Incident,
    mitigation: Mitigation,
    terms: VerificationTerms,
    importances: Importances,
    time: datetime,
) -> Incident:
    """Return the incident after what later windows say of its mitigation; itself if nothing."""
    if mitigation.plan.kind.is_on_rows:
        return _confirmed(incident, mitigation, time)
    verification = verification_of(incident, mitigation, terms.windows)
    if verification is None:
        return incident
    if not verification.windows:
        return _without_data(incident, mitigation, terms, time)
    if mitigation.state is MitigationState.APPLIED:
        reason = f"first window since: {verification.windows[0].id}"
        incident = incident.moved(
            mitigation.id, MitigationState.VERIFYING, actor=SERVICE, time=time, reason=reason
        )
        mitigation = incident.mitigation(mitigation.id)
    return _concluded(
        incident, mitigation, verification, importances, needed=terms.windows, time=time
    )


def _concluded(
    incident: Incident,
    mitigation: Mitigation,
    verification: Verification,
    importances: Importances,
    *,
    needed: int,
    time: datetime,
) -> Incident:
    if verification.judgement is Judgement.INCONCLUSIVE:
        return _undecided(incident, mitigation, len(verification.windows), needed, time)
    deciding = verification.windows[-1]
    known = importances.get(deciding.name, {})
    incident = incident.with_mitigation(
        replace(mitigation, verified_calibration=deciding.calibration.ratio)
    )
    found = f"calibration {deciding.calibration} in window {deciding.id}"
    if verification.judgement is Judgement.NOT_EFFECTIVE:
        reason = f"no help after {needed} windows: {found}{_told(mitigation, known)}"
        return _taken_back(incident, mitigation, reason, time)
    if still := _still_important(incident, mitigation, known):
        advice = (
            f"Calibration is healthy again ({found}), but {', '.join(still)} still matters "
            "although switched off: do the model servers follow the kill switch?"
        )
        return asked(incident, advice, time)
    return _mended(incident, mitigation, f"{found}{_told(mitigation, known)}", deciding, time)


def _mended(
    incident: Incident, mitigation: Mitigation, found: str, deciding: Window, time: datetime
) -> Incident:
    reason = f"{found}, {as_previewed(deciding.calibration, mitigation.preview)}"
    if not incident.anomalies:
        reason = f"nothing worsened: {reason}"
    mended = incident.moved(
        mitigation.id, MitigationState.EFFECTIVE, actor=SERVICE, time=time, reason=reason
    )
    # A release that was taken back may belong to an incident that is closed.
    if not mended.is_open:
        return mended.advised("")
    if not incident.anomalies:
        # Another policy may want something else about what audits found.
        return mended.advised(f"In force, and nothing worsened: {mitigation.plan}.")
    return mended.closed(actor=SERVICE, time=time, reason=f"{mitigation.plan} was effective")


def in_force(mitigation: Mitigation, needed: int) -> str:
    """Say what decides whether an act that was carried out helps."""
    plan, after = mitigation.plan, mitigation.applied_after
    if plan.kind.is_on_rows:
        return f"In force: {plan}. {_LATER}"
    return (
        f"In force: {plan}. {needed} windows that start at {after:%Y-%m-%d %H:%M} or later "
        "(event time, UTC) decide whether it helps."
    )


def _confirmed(incident: Incident, mitigation: Mitigation, time: datetime) -> Incident:
    """Return the incident with an action on rows in effect: who carries it out has said so.

    It was observed when it was applied. No window of the checkpoint that is served can judge it.
    """
    confirmed = "the owner of the training data confirms that it is in force"
    if mitigation.state is MitigationState.APPLIED:
        incident = incident.moved(
            mitigation.id, MitigationState.VERIFYING, actor=SERVICE, time=time, reason=confirmed
        )
    reason = f"{confirmed}. {_LATER}"
    effective = incident.moved(
        mitigation.id, MitigationState.EFFECTIVE, actor=SERVICE, time=time, reason=reason
    )
    return effective.advised(f"In force: {mitigation.plan}. {_LATER}" if incident.is_open else "")


def _taken_back(
    incident: Incident, mitigation: Mitigation, reason: str, time: datetime
) -> Incident:
    return incident.moved(
        mitigation.id, MitigationState.REVERTING, actor=SERVICE, time=time, reason=reason
    ).advised(f"To {mitigation.plan} did not help and is being taken back. This needs a person.")


def _still_important(
    incident: Incident, mitigation: Mitigation, known: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the killed features whose importance did not go: somebody still serves them."""
    if mitigation.plan.kind is not MitigationKind.KILL_SWITCH or incident.comparison is None:
        return ()
    before = {s.feature: max(s.control_gfi, s.anomaly_gfi) for s in incident.comparison.shifts}
    return tuple(
        feature
        for feature in mitigation.plan.features
        if known.get(feature, 0.0) > _GONE * before.get(feature, float("inf"))
    )


def _told(mitigation: Mitigation, known: Mapping[str, float]) -> str:
    if not mitigation.plan.features:
        return ""
    if not known:
        return "; importances unknown"
    return "; GFI " + ", ".join(f"{feature} {gfi:.3g}" for feature, gfi in known.items())


def _undecided(
    incident: Incident, mitigation: Mitigation, seen: int, needed: int, time: datetime
) -> Incident:
    if seen < MANY_WINDOWS * needed:
        return incident
    advice = (
        f"{seen} windows do not tell whether to {mitigation.plan} helped. It stays in force: "
        "revert it, or wait for more."
    )
    return asked(incident, advice, time)


def _without_data(
    incident: Incident, mitigation: Mitigation, terms: VerificationTerms, time: datetime
) -> Incident:
    applied = mitigation.passage(MitigationState.APPLIED)
    if applied is None or time < applied.time + terms.patience:
        return incident
    hours = terms.patience / timedelta(hours=1)
    advice = (
        f"No window with outcomes in {hours:g} h: nobody knows whether to {mitigation.plan} "
        "helped. It stays in force: look at the pipeline, or revert it."
    )
    return asked(incident, advice, time)


def asked(incident: Incident, advice: str, time: datetime) -> Incident:
    """Return the incident with a person asked; itself if that was asked last."""
    if incident.advice == advice:
        return incident
    return incident.advised(advice).noted(time, SERVICE, advice)
