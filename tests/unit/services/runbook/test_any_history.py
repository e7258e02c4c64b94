"""Whatever happens, in whatever order: what must never be is not."""

import asyncio
import itertools
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.memory_incidents import MemoryStore
from services.runbook.domain.approval import Expert
from services.runbook.domain.errors import ActuatorUnavailable, RunbookError
from services.runbook.domain.finding import AuditEnd, AuditFinding, Clearance
from services.runbook.domain.guardrail import Quorum
from services.runbook.domain.mitigation import (
    ALLOWED,
    BEGINNING,
    IN_FORCE,
    MitigationState,
    Transition,
)
from services.runbook.domain.pause import PAUSE_SUBJECT, PauseState
from services.runbook.domain.plan import Change, Plan
from services.runbook.domain.policy import Action, Mode
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    NODE,
    UNHURRIED,
    Pretend,
    Runbook,
    event,
    finding,
    on_findings,
    policy,
    rules,
)

T = TypeVar("T")
MODELS = ("models/ads_ctr", "models/feed")
UNSETTLED = {MitigationState.APPLYING, MitigationState.REVERTING, MitigationState.FAILED}
FOUND = (finding(), finding("4712", severity=0.9))
EXPERTS = (Expert("ada", may_approve=True), Expert("grace", may_approve=True))


class Shaky(Pretend):
    """An actuator that answers, or not, before or after it acted."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = ""
        self.in_force: dict[str, int] = {}

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        self._fail_if("before")
        was = await self.observe(plan)
        await super().apply(key, plan, change)
        if await self.observe(plan) != was:
            self.in_force[key] = self.in_force.get(key, 0) + 1
        self._fail_if("after")

    async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
        self._fail_if("before")
        await super().expose(key, plan, percent, step)
        self._fail_if("after")

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        self._fail_if("before")
        await super().revert(key, plan, change)
        self._fail_if("after")

    def _fail_if(self, moment: str) -> None:
        if self.failing == moment:
            raise ActuatorUnavailable(f"fails {moment} it acts")


class AnyHistory(RuleBasedStateMachine):
    """Events, experts, workers and clocks in any order."""

    @initialize(
        mode=st.sampled_from(Mode),
        quorum=st.sampled_from([1, 1, 2]),
        found=st.lists(st.sampled_from(FOUND), unique=True, max_size=2),
    )
    def start(self, mode: Mode, quorum: int, found: list[AuditFinding]) -> None:
        self.runner = asyncio.Runner()
        self.hours = dict.fromkeys(MODELS, 0)
        self.actuator = Shaky()
        self.memory = MemoryStore(ChangeSignal())
        self.runbook = Runbook(self.memory, self.actuator)
        rails = replace(UNHURRIED, quorums=(Quorum(quorum, features=1),), most_labels_at_once=1)
        self.quorum = quorum
        about = [on_findings(action, mode=mode) for action in Action if action.on_findings]
        self.runbook.rules.rules = rules(
            *about, policy(mode), guard_rails=rails, open_incident_when="finding.severity > 0.3"
        )
        self.runbook.lineage.found = tuple(found)
        self.runbook.lineage.fed_by = {NODE: MODELS}

    @rule(model=st.sampled_from(MODELS), ratio=st.sampled_from([BROKEN, BROKEN, HEALTHY, 1.12]))
    def a_window_closes(self, model: str, ratio: float) -> None:
        self.hours[model] += 1
        self.run(self.runbook.open(event(self.hours[model], ratio, model=model)))

    @rule(label=st.sampled_from(["4711", "4712"]), audit=st.integers(1, 3))
    def an_audit_finds_something(self, label: str, audit: int) -> None:
        self.runbook.lineage.found += (finding(label, audit=f"audits/A-{audit}"),)
        self.run(self.runbook.heed())

    @rule(label=st.sampled_from(["4711", "4712"]), audit=st.integers(1, 3))
    def an_audit_finds_nothing_more(self, label: str, audit: int) -> None:
        cleared = (Clearance(label, lean=True, flips=True),)
        time = finding().time + timedelta(minutes=audit)
        end = AuditEnd(f"audits/B-{audit}:end", time, f"audits/B-{audit}", NODE, cleared)
        self.runbook.lineage.ends += (end,)
        self.run(self.runbook.heed())

    @rule(model=st.sampled_from(MODELS))
    def an_event_comes_again(self, model: str) -> None:
        if self.hours[model]:
            self.run(self.runbook.open(event(self.hours[model], BROKEN, model=model)))

    @rule(failing=st.sampled_from(["", "", "", "before", "after"]), rounds=st.sampled_from([1, 5]))
    def somebody_works(self, failing: str, rounds: int) -> None:
        self.actuator.failing = failing
        for _ in range(rounds):
            self.run(self.runbook.new_worker().drain())
            self.runbook.clock.advance(seconds=10 * (rounds - 1))

    @rule(
        expert=st.sampled_from(EXPERTS),
        decision=st.sampled_from(
            ["say_yes", "say_yes", "say_yes", "say_no", "take_back", "keep", "let_go"]
        ),
        number=st.integers(1, 3),
    )
    def somebody_decides(self, expert: Expert, decision: str, number: int) -> None:
        incident = self.incidents().get(f"INC-{number}")
        if incident is None or not incident.mitigations:
            return
        try:
            self.run(getattr(self.runbook, decision)(expert, incident.id))
        except RunbookError:
            return

    @rule(model=st.sampled_from(MODELS))
    def all_goes_well_up_to_a_release(self, model: str) -> None:
        self.somebody_works("", 1)
        for ratio in (BROKEN, HEALTHY, HEALTHY):
            self.a_window_closes(model, ratio)
            self.somebody_works("", 1)
            for number, expert in itertools.product((1, 2, 3), EXPERTS):
                self.somebody_decides(expert, "say_yes", number)
            self.somebody_works("", 1)
        for number in (1, 2, 3):
            self.somebody_decides(EXPERTS[0], "let_go", number)

    @rule(model=st.sampled_from(MODELS), windows=st.integers(1, 7))
    def all_is_calm(self, model: str, windows: int) -> None:
        for _ in range(windows):
            self.a_window_closes(model, HEALTHY)
            self.somebody_works("", 1)

    @rule(on=st.booleans())
    def somebody_pauses_or_resumes(self, on: bool) -> None:
        self.run(self.runbook.pause(on=on))

    @rule(minutes=st.sampled_from([0.1, 1, 40, 1500]))
    def time_passes(self, minutes: float) -> None:
        self.runbook.clock.advance(minutes=minutes)
        self.run(self.runbook.expire())

    @invariant()
    def every_transition_is_audited_and_allowed(self) -> None:
        audit: dict[str, list[Transition]] = {}
        for subject, step in self.memory.audit():
            audit.setdefault(subject, []).append(step)
        for incident in self.incidents().values():
            assert audit[incident.name] == list(incident.history)
            for mitigation in incident.mitigations:
                steps = audit[mitigation.name]
                assert steps == list(mitigation.history)
                assert steps[0].before == ""
                for earlier, later in itertools.pairwise(steps):
                    assert later.before == earlier.after
                    assert later.after in ALLOWED[MitigationState(earlier.after)]
                    assert later.actor

    @invariant()
    def nothing_is_in_force_without_an_approval(self) -> None:
        for incident in self.incidents().values():
            for mitigation in incident.mitigations:
                if mitigation.state in IN_FORCE or mitigation.name in self.actuator.in_force:
                    assert mitigation.approver
                    experts = {approval.actor for approval in mitigation.approvals}
                    assert len(experts) >= self.quorum

    @invariant()
    def every_effect_happens_once(self) -> None:
        assert all(count == 1 for count in self.actuator.in_force.values())

    @invariant()
    def states_and_the_world_agree(self) -> None:
        for model in MODELS:
            incidents = [i for i in self.incidents().values() if i.model == model]
            mitigations = [m for i in incidents for m in i.mitigations]
            states = {m.state for m in mitigations}
            if states & UNSETTLED:
                continue
            on = {x for m in mitigations if m.state in IN_FORCE for x in m.plan.target.items()}
            for mitigation in mitigations:
                observed = self.run(self.actuator.observe(mitigation.plan))
                wanted = mitigation.plan.target
                assert {x for x in observed.items() if x in wanted.items()} <= on
                if mitigation.state in IN_FORCE - {MitigationState.RELEASING}:
                    assert observed == wanted

    @invariant()
    def nothing_begins_while_paused(self) -> None:
        paused = False
        for subject, step in self.memory.audit():
            if subject == PAUSE_SUBJECT:
                paused = step.after == PauseState.PAUSED
            assert not (paused and (step.before, step.after) == BEGINNING)
            assert not (paused and step.after == MitigationState.APPROVED)

    @invariant()
    def a_model_has_one_open_incident(self) -> None:
        opened = [i.model for i in self.incidents().values() if i.is_open]
        assert len(opened) == len(set(opened))

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()

    def incidents(self) -> Mapping[str, Any]:
        return self.run(self.runbook.incidents()) if hasattr(self, "runner") else {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
