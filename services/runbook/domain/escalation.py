"""Whom silence calls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.work import Call


@dataclass(frozen=True)
class EscalationStep:
    """Somebody who is called when a proposal has waited so long."""

    after: timedelta
    to: str
    """A person or a rota, as the bots and consoles that watch know it."""


def escalated(
    incident: Incident, steps: Sequence[EscalationStep], time: datetime
) -> tuple[Incident, Sequence[Call]]:
    """Return the incident with everybody noted who is due, and the calls to them."""
    proposal = incident.under_way
    calls: list[Call] = []
    if proposal is None or proposal.state is not MitigationState.PROPOSED:
        return incident, calls
    silence = time - proposal.history[0].time
    for step in steps:
        if step.after > silence or step.to in proposal.escalated_to:
            continue
        minutes = step.after / timedelta(minutes=1)
        proposal = replace(proposal, escalated_to=(*proposal.escalated_to, step.to))
        message = f"not decided for {minutes:g} minutes: calling {step.to}: {proposal.plan}"
        calls.append(Call(proposal.name, step.to, message))
        expires = f"{proposal.expire_time:%H:%M} UTC"
        incident = (
            incident.with_mitigation(proposal)
            .noted(time, SERVICE, message)
            .advised(f"{step.to}: approve or reject: {proposal.plan}. Expires at {expires}.")
        )
    return incident, calls
