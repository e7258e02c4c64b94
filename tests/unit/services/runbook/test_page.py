"""Calls to people: by policies and by escalation."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.domain.errors import PagerUnavailable
from services.runbook.domain.escalation import EscalationStep
from services.runbook.domain.facts import WHEN_FIELDS
from services.runbook.domain.policy import Action, Mode, Policy
from services.runbook.domain.work import Call, WorkKind
from services.runbook.page import Page
from tests.unit.services.runbook.builders import BROKEN, HEALTHY, Runbook, event, policy, rules

SAID = "calling ranking rota: calibration is out"
CALLED = "ranking rota was called"


def page(mode: Mode = Mode.SUGGEST) -> Policy:
    return replace(
        policy(mode),
        name="rota",
        action=Action.PAGE,
        features=None,
        when=CelConditions().compile("calibration.anomalous", WHEN_FIELDS),
        note="calibration is out",
        to="ranking rota",
    )


def a_runbook(*policies: Policy) -> Runbook:
    runbook = Runbook()
    runbook.rules.rules = rules(*policies)
    return runbook


async def timeline(runbook: Runbook) -> list[str]:
    return [entry.message for entry in (await runbook.incident()).timeline]


async def test_a_page_calls_whom_it_names_once_and_decides_nothing() -> None:
    runbook = a_runbook(page(), policy())
    await runbook.see(event(1, BROKEN))
    await runbook.say_no()
    await runbook.see(event(2, BROKEN))
    assert runbook.pager.calls == [Call("incidents/INC-1", "ranking rota", SAID)]
    told = await timeline(runbook)
    assert (told.count(SAID), told.count(CALLED)) == (1, 1)
    assert len((await runbook.incident()).mitigations) == 1


async def test_a_page_that_only_observes_calls_nobody() -> None:
    runbook = a_runbook(page(Mode.OBSERVE))
    await runbook.see(event(1, BROKEN))
    assert runbook.pager.calls == []
    assert f"rota only observes. It would say: {SAID}" in await timeline(runbook)


async def test_a_pager_that_fails_is_tried_again() -> None:
    runbook = a_runbook(page())
    runbook.pager.failures = [PagerUnavailable("502"), PagerUnavailable("503")]
    await runbook.see(event(1, BROKEN))
    for _ in range(2):
        assert CALLED not in await timeline(runbook)
        runbook.clock.advance(minutes=1)
        await runbook.worker.drain()
    assert (await timeline(runbook)).count(CALLED) == 1
    assert len(runbook.pager.calls) == 1


async def test_whom_nobody_reached_is_said() -> None:
    runbook = a_runbook(page())
    runbook.pager.failures = [PagerUnavailable("the receiver answers 500")] * 9
    await runbook.see(event(1, BROKEN))
    for _ in range(4):
        runbook.clock.advance(minutes=1)
        await runbook.worker.drain()
    told = "ranking rota could not be called: the receiver answers 500"
    assert (await timeline(runbook)).count(told) == 1
    assert len(runbook.pager.failures) == 6


async def test_an_incident_that_is_over_calls_nobody() -> None:
    runbook = a_runbook(page())
    runbook.pager.failures = [PagerUnavailable("502")]
    await runbook.see(event(1, BROKEN), event(2, HEALTHY), event(3, HEALTHY))
    assert not (await runbook.incident()).is_open
    runbook.clock.advance(minutes=1)
    await runbook.worker.drain()
    assert runbook.pager.calls == []
    assert CALLED not in await timeline(runbook)


async def test_silence_calls_by_the_same_way() -> None:
    runbook = a_runbook(policy())
    steps = (EscalationStep(timedelta(minutes=5), "second line"),)
    runbook.rules.rules = rules(policy(), escalation=steps)
    await runbook.see(event(1, BROKEN))
    runbook.clock.advance(minutes=6)
    await runbook.worker.drain()
    (call,) = runbook.pager.calls
    assert (call.subject, call.to) == ("incidents/INC-1/mitigations/1", "second line")
    assert call.message in await timeline(runbook)
    assert "second line was called" in await timeline(runbook)


async def test_without_a_pager_the_timeline_is_all_there_is() -> None:
    runbook = a_runbook(page())
    nobody = Page(runbook.store, None, runbook.clock, 3)
    runbook.worker = replace(runbook.worker, table={**runbook.worker.table, WorkKind.PAGE: nobody})
    await runbook.see(event(1, BROKEN))
    assert SAID in await timeline(runbook)
    assert CALLED not in await timeline(runbook)
    now = runbook.clock.now() + timedelta(days=1)
    assert not await runbook.store.read(lambda unit: unit.outbox.due((WorkKind.PAGE,), now))


@pytest.mark.parametrize(
    "other", [Call("incidents/INC-2", "a", "b"), Call("incidents/INC-1", "a", "c")]
)
def test_a_call_has_one_key(other: Call) -> None:
    call = Call("incidents/INC-1", "a", "b")
    assert call.key == replace(call).key != other.key
