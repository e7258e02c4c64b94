"""An audit that looks again and finds nothing clears what one before it found."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.runbook.domain.evidence import Verdict
from services.runbook.domain.finding import AuditEnd, Clearance
from services.runbook.domain.incident import IncidentState
from services.runbook.domain.mitigation import MitigationState
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    NODE,
    Runbook,
    event,
    finding,
    on_findings,
    rules,
)

_S = MitigationState


def a_runbook() -> Runbook:
    runbook = Runbook()
    runbook.lineage.found = (finding(),)
    runbook.rules.rules = rules(on_findings(), open_incident_when="finding.severity > 0.3")
    return runbook


def an_end(*cleared: str, lean: bool = True, flips: bool = True, hours: int = 1) -> AuditEnd:
    """A later audit that looked at these labels and found nothing."""
    return AuditEnd(
        "audits/A-9:end",
        finding().time + timedelta(hours=hours),
        "audits/A-9",
        NODE,
        tuple(Clearance(label, lean, flips) for label in cleared),
    )


async def test_a_later_audit_that_finds_nothing_closes_it() -> None:
    runbook = a_runbook()
    await runbook.hear_of_audits()
    runbook.lineage.ends = (an_end("4711"),)
    await runbook.hear_of_audits()
    incident = await runbook.incident()
    assert incident.state is IncidentState.CLOSED
    told = f"audits/A-9 of {NODE} no longer finds label '4711'"
    assert incident.history[-1].reason == told
    assert incident.mitigations[0].state is _S.EXPIRED
    await runbook.hear_of_audits()
    assert len(await runbook.incidents()) == 1


@pytest.mark.parametrize(
    "end",
    [
        an_end("12"),
        an_end("4711", lean=False),
        an_end("4711", flips=False),
        an_end("4711", hours=-1),
        replace(an_end("4711"), node="dataset:other"),
    ],
)
async def test_an_audit_that_did_not_look_again_clears_nothing(end: AuditEnd) -> None:
    runbook = a_runbook()
    await runbook.hear_of_audits()
    runbook.lineage.ends = (end,)
    await runbook.hear_of_audits()
    assert (await runbook.mitigation()).state is _S.PROPOSED


async def test_what_is_cleared_goes_and_the_rest_stays() -> None:
    runbook = a_runbook()
    runbook.lineage.found += (finding("12"),)
    await runbook.hear_of_audits()
    runbook.lineage.ends = (an_end("4711"),)
    await runbook.hear_of_audits()
    incident = await runbook.incident()
    assert incident.is_open
    assert [each.label for each in incident.findings] == ["12"]
    assert incident.timeline[-1].message.endswith("no longer finds label '4711'")


async def test_what_is_cleared_is_no_finding_to_policies() -> None:
    runbook = a_runbook()
    runbook.lineage.ends = (an_end("4711"),)
    await runbook.see(event(1, BROKEN, verdict=Verdict.NO_FEATURE_EXPLAINS, shifts=()))
    assert (await runbook.incident()).mitigations == ()


async def test_a_mitigation_in_force_outlives_a_clearance() -> None:
    runbook = a_runbook()
    await runbook.see(event(1, HEALTHY))
    await runbook.hear_of_audits()
    await runbook.say_yes()
    await runbook.worker.drain()
    runbook.lineage.ends = (an_end("4711"),)
    await runbook.hear_of_audits()
    incident = await runbook.incident()
    assert incident.is_open
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    incident = await runbook.incident()
    assert incident.mitigations[0].state is _S.EFFECTIVE
    assert incident.state is IncidentState.CLOSED
