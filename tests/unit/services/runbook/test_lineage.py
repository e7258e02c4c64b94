"""Models downstream: recorded with a proposal, asked by conditions, counted by quorums."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.yaml_policies import YamlPolicies
from services.runbook.domain.blast_radius import Downstream
from services.runbook.domain.facts import UNKNOWN_RADIUS
from services.runbook.domain.guardrail import Quorum
from services.runbook.domain.mitigation import MitigationState
from tests.unit.services.runbook.builders import (
    BROKEN,
    EXPERT,
    UNHURRIED,
    Runbook,
    event,
    finding,
    policy,
    rules,
)

QUORUM = replace(UNHURRIED, quorums=(Quorum(2, models=3),))


def a_runbook(models: int | None) -> Runbook:
    runbook = Runbook()
    if models is None:
        runbook.lineage.missing = "lineage says UNAVAILABLE: try again"
    else:
        runbook.lineage.models = models
    return runbook


@pytest.mark.parametrize(
    ("models", "told"),
    [(0, "no model downstream"), (1, "1 model downstream"), (4, "4 models downstream")],
)
async def test_it_is_recorded_and_said(models: int, told: str) -> None:
    runbook = a_runbook(models)
    await runbook.see(event(1, BROKEN))
    assert (await runbook.mitigation()).downstream == Downstream(models)
    assert f"; {told}; " in (await runbook.incident()).timeline[-1].message


@pytest.mark.parametrize(("models", "needed"), [(0, 1), (1, 1), (2, 2), (None, 2)])
async def test_a_quorum_counts_the_model_and_those_downstream(
    models: int | None, needed: int
) -> None:
    runbook = a_runbook(models)
    runbook.rules.rules = rules(guard_rails=QUORUM)
    await runbook.see(event(1, BROKEN))
    assert (await runbook.mitigation()).required_approvals == needed
    # Asked when it was proposed: an outage at the moment of the click changes nothing.
    runbook.lineage.missing = "lineage says UNAVAILABLE"
    approved = await runbook.say_yes(EXPERT)
    expected = MitigationState.APPROVED if needed == 1 else MitigationState.PROPOSED
    assert approved.state is expected


async def test_a_kill_switch_is_felt_by_those_who_feel_its_features() -> None:
    runbook = a_runbook(5)
    runbook.rules.rules = rules(guard_rails=QUORUM)
    runbook.lineage.feeling = {("user_embedding",): 1}
    await runbook.see(event(1, BROKEN))
    mitigation = await runbook.mitigation()
    assert mitigation.plan.features == ("user_embedding",)
    assert (mitigation.downstream, mitigation.required_approvals) == (Downstream(1), 1)


async def test_features_that_lineage_cannot_tell_of_are_the_worst() -> None:
    runbook = a_runbook(0)
    runbook.rules.rules = rules(guard_rails=QUORUM)
    runbook.lineage.mute_features = True
    await runbook.see(event(1, BROKEN))
    mitigation = await runbook.mitigation()
    assert (mitigation.downstream.models, mitigation.required_approvals) == (None, 2)


async def test_who_cannot_be_asked_is_said_why() -> None:
    runbook = a_runbook(None)
    await runbook.see(event(1, BROKEN))
    assert (await runbook.mitigation()).downstream.models is None
    told = "models downstream not known: lineage says UNAVAILABLE: try again"
    assert told in (await runbook.incident()).timeline[-1].message


@pytest.mark.parametrize(
    ("models", "when", "acts"),
    [
        (2, "lineage.blast_radius == 2 && lineage.known", True),
        (2, "lineage.blast_radius < 2", False),
        (0, "lineage.blast_radius == 0 && lineage.known", True),
        (None, "lineage.blast_radius < 1000", False),
        (None, f"lineage.blast_radius == {UNKNOWN_RADIUS} && !lineage.known", True),
    ],
)
async def test_conditions_take_what_is_not_known_for_the_worst(
    models: int | None, when: str, acts: bool
) -> None:
    runbook = a_runbook(models)
    runbook.rules.rules = rules(policy(when=when))
    await runbook.see(event(1, BROKEN))
    assert bool((await runbook.incident()).mitigations) is acts


@pytest.mark.parametrize(("findings", "noted"), [(0, False), (2, True)])
async def test_the_documented_policy_says_what_audits_found(
    tmp_path: Path, findings: int, noted: bool
) -> None:
    page = Path(__file__).parents[4] / "docs" / "concepts" / "audit.md"
    (block,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    (tmp_path / "policy.yaml").write_text(block)
    runbook = a_runbook(0)
    runbook.rules.rules = YamlPolicies(tmp_path / "policy.yaml", CelConditions()).current()
    runbook.lineage.found = tuple(finding(str(label)) for label in range(findings))
    await runbook.see(event(1, BROKEN))
    said = " ".join(entry.message for entry in (await runbook.incident()).timeline)
    assert ("an audit found labels in this model's data" in said) is noted


@pytest.mark.parametrize(("when", "acts"), [("> 0.5", True), ("> 0.7", False)])
async def test_conditions_see_the_most_severe_finding(when: str, acts: bool) -> None:
    runbook = a_runbook(0)
    runbook.lineage.found = (finding(severity=0.6), finding("4712", severity=0.1))
    runbook.rules.rules = rules(policy(when=f"lineage.audit_severity {when}"))
    await runbook.see(event(1, BROKEN))
    assert bool((await runbook.incident()).mitigations) is acts


async def test_findings_that_nobody_can_tell_are_none() -> None:
    runbook = a_runbook(None)
    runbook.lineage.found = (finding(),)
    runbook.rules.rules = rules(policy(when="lineage.audit_findings == 0 && !lineage.known"))
    await runbook.see(event(1, BROKEN))
    assert (await runbook.incident()).mitigations
