"""RunbookService on real gRPC: what callers see, and who may do what."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.incident_pb2 import (
    INCIDENT_STATE_OPEN,
    INCIDENT_VERDICT_FEATURE_CORRUPTION,
    MITIGATION_STATE_APPLIED,
    MITIGATION_STATE_APPROVED,
    MITIGATION_STATE_PROPOSED,
    MITIGATION_STATE_REJECTED,
    MITIGATION_STATE_RELEASED,
    MITIGATION_STATE_RELEASING,
    MITIGATION_STATE_REVERTED,
    MITIGATION_STATE_REVERTING,
    Incident,
    Mitigation,
)
from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceStub
from services.chassis.tokens import Role, issue_token
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.learned_entry import entry_of
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.guardrail import GuardRails, Quorum
from services.runbook.domain.learned import LearnedModel, Weight
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    MODEL,
    WALL_TIME,
    Runbook,
    event,
    rules,
)
from tests.unit.services.runbook.serving import PRIVATE, serve_runbook

NAME = "incidents/INC-1/mitigations/1"


class Caller:
    """Somebody with a token."""

    def __init__(self, channel: grpc.aio.Channel, name: str, *roles: Role) -> None:
        self.stub = RunbookServiceStub(channel)
        token = issue_token(PRIVATE, name, roles, timedelta(minutes=5))
        self.identity: dict[str, Any] = {"metadata": (("authorization", f"Bearer {token}"),)}

    async def incident(self, name: str = "incidents/INC-1") -> Incident:
        request = pb.GetIncidentRequest(name=name)
        return (await self.stub.GetIncident(request, timeout=20, **self.identity)).incident

    async def page(self, **request: Any) -> pb.ListIncidentsResponse:
        return await self.stub.ListIncidents(
            pb.ListIncidentsRequest(**request), timeout=20, **self.identity
        )

    async def approve(self, plan_hash: str, name: str = NAME) -> Mitigation:
        request = pb.ApproveMitigationRequest(name=name, plan_hash=plan_hash, reason="plausible")
        return (await self.stub.ApproveMitigation(request, timeout=20, **self.identity)).mitigation

    async def reject(self, plan_hash: str, reason: str = "the other one") -> Mitigation:
        request = pb.RejectMitigationRequest(name=NAME, plan_hash=plan_hash, reason=reason)
        return (await self.stub.RejectMitigation(request, timeout=20, **self.identity)).mitigation

    async def revert(self, reason: str = "enough") -> Mitigation:
        request = pb.RevertMitigationRequest(name=NAME, reason=reason)
        return (await self.stub.RevertMitigation(request, timeout=20, **self.identity)).mitigation

    async def renew(self) -> Mitigation:
        request = pb.RenewMitigationRequest(name=NAME, reason="still broken")
        return (await self.stub.RenewMitigation(request, timeout=20, **self.identity)).mitigation

    async def release(self) -> Mitigation:
        request = pb.ReleaseMitigationRequest(name=NAME, reason="mended upstream")
        return (await self.stub.ReleaseMitigation(request, timeout=20, **self.identity)).mitigation

    async def pause(self) -> pb.Pause:
        request = pb.PauseMitigationsRequest(reason="the sale")
        return (await self.stub.PauseMitigations(request, timeout=20, **self.identity)).pause

    async def resume(self) -> pb.Pause:
        request = pb.ResumeMitigationsRequest(reason="over")
        return (await self.stub.ResumeMitigations(request, timeout=20, **self.identity)).pause

    async def pause_state(self) -> pb.Pause:
        return (await self.stub.GetPause(pb.GetPauseRequest(), timeout=20, **self.identity)).pause

    def watch(self, model: str = "") -> AsyncIterator[pb.WatchIncidentsResponse]:
        request = pb.WatchIncidentsRequest(model=model)
        return self.stub.WatchIncidents(request, **self.identity).__aiter__()


class Served:
    """A runbook on SQLite, its server, and channels to it."""

    def __init__(self, runbook: Runbook, channel: grpc.aio.Channel) -> None:
        self.runbook = runbook
        self.channel = channel

    def caller(self, name: str, *roles: Role) -> Caller:
        return Caller(self.channel, name, *roles)


@pytest.fixture
def store_and_changes(tmp_path: Path) -> Iterator[tuple[SqlStore, ChangeSignal]]:
    engine = open_engine(f"sqlite:///{tmp_path}/runbook.sqlite")
    upgrade(engine)
    changes = ChangeSignal()
    yield SqlStore(SqlTransactions(engine), changes), changes
    engine.dispose()


@pytest.fixture
async def served(
    store_and_changes: tuple[SqlStore, ChangeSignal], tmp_path: Path
) -> AsyncIterator[Served]:
    store, changes = store_and_changes
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(serve_runbook(tmp_path, store, changes))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(running.address))
        # Streams that wait for news end before the channel closes.
        stack.callback(changes.close)
        yield Served(running.runbook, channel)


@pytest.fixture
async def proposed(served: Served) -> Served:
    await served.runbook.see(event(1, BROKEN))
    return served


def status_of(error: grpc.aio.AioRpcError) -> tuple[str, str, Status]:
    metadata = dict(error.trailing_metadata() or ())
    status = Status.FromString(metadata["grpc-status-details-bin"])
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return error.code().name, info.reason.removeprefix("ERROR_REASON_"), status


async def refusal(call: Any) -> tuple[str, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    code, reason, _ = status_of(error.value)
    return code, reason, error.value.details() or ""


async def test_an_incident_as_callers_see_it(proposed: Served) -> None:
    incident = await proposed.caller("eve", Role.READER).incident()
    assert incident.model == MODEL
    assert incident.state == INCIDENT_STATE_OPEN
    assert incident.comparison.shifts[0].feature == "user_embedding"
    assert incident.timeline[0].actor == "runbook"
    (mitigation,) = incident.mitigations
    assert mitigation.state == MITIGATION_STATE_PROPOSED
    assert mitigation.features == ["user_embedding"]
    assert mitigation.preview.calibration == pytest.approx(1.0)


async def test_a_reader_has_the_audit_verified(proposed: Served) -> None:
    eve = proposed.caller("eve", Role.READER)
    answer = await eve.stub.VerifyAudit(pb.VerifyAuditRequest(), timeout=20, **eve.identity)
    assert answer.intact
    assert (answer.record_count, list(answer.breaks)) == (2, [])


async def test_a_reader_tries_a_policy(proposed: Served) -> None:
    caller = proposed.caller("bob", Role.READER)
    text = "policies: [{name: first, action: kill_switch, when: 'true', features: shift.rank == 2}]"
    check = pb.CheckPolicyRequest(file_name="p.yaml", content=text.replace("rank", "rnk"))
    checked = await caller.stub.CheckPolicy(check, timeout=20, **caller.identity)
    assert "p.yaml:1: policies[0].features" in checked.problems[0]
    assert "rnk" in checked.problems[0]
    check.content = text
    (found,) = (await caller.stub.CheckPolicy(check, timeout=20, **caller.identity)).policies
    assert (found.name, found.version, found.mode, found.action) == (
        "first",
        1,
        "suggest",
        "kill_switch",
    )
    learned = entry_of(LearnedModel((Weight("abs_z", 1.0, 0.0, 1.0),), 0.0, 1.0, 0.0, 0.5), {})
    entry = {"name": "l", "mode": "apply", "action": "kill_switch", "when": "true"}
    check.content = json.dumps({"policies": [entry | {"learned": learned.model_dump()}]})
    checked = await caller.stub.CheckPolicy(check, timeout=20, **caller.identity)
    assert "may observe or suggest, but never apply" in checked.problems[0]
    replay = pb.ReplayPolicyRequest(file_name="p.yaml", content=text)
    (row,) = (await caller.stub.ReplayPolicy(replay, timeout=20, **caller.identity)).incidents
    assert (row.would_act, row.policy, list(row.features)) == (True, "first", ["genres"])
    assert row.mitigations[0].features == ["user_embedding"]
    replay.content = "policies: 3"
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await caller.stub.ReplayPolicy(replay, timeout=20, **caller.identity)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_approve_then_a_worker_acts_then_revert(proposed: Served) -> None:
    ada = proposed.caller("ada", Role.APPROVER, Role.READER)
    plan_hash = (await ada.incident()).mitigations[0].plan_hash
    approved = await ada.approve(plan_hash)
    assert approved.state == MITIGATION_STATE_APPROVED
    assert approved.approver == "ada"
    assert (await ada.approve(plan_hash)) == approved
    await proposed.runbook.worker.drain()
    assert (await ada.incident()).mitigations[0].state == MITIGATION_STATE_APPLIED
    assert (await ada.revert()).state == MITIGATION_STATE_REVERTING
    await proposed.runbook.worker.drain()
    assert (await ada.incident()).mitigations[0].state == MITIGATION_STATE_REVERTED


async def test_a_second_experts_answer_is_refused_with_who_was_first(proposed: Served) -> None:
    ada, grace = (proposed.caller(name, Role.APPROVER, Role.READER) for name in ("ada", "grace"))
    plan_hash = (await ada.incident()).mitigations[0].plan_hash
    await ada.approve(plan_hash)
    for late in (grace.approve(plan_hash), grace.reject(plan_hash)):
        code, reason, text = await refusal(late)
        assert (code, reason) == ("FAILED_PRECONDITION", "INVALID_TRANSITION")
        assert "was APPROVED by ada" in text


async def test_two_answers_at_once_count_once(proposed: Served) -> None:
    experts = [proposed.caller(f"expert-{n}", Role.APPROVER) for n in range(6)]
    plan_hash = (await proposed.runbook.mitigation()).plan_hash
    answers = await asyncio.gather(
        *(expert.approve(plan_hash) for expert in experts), return_exceptions=True
    )
    taken = [answer for answer in answers if isinstance(answer, Mitigation)]
    assert len(taken) == 1
    await proposed.runbook.worker.drain()
    mitigation = await proposed.runbook.mitigation()
    assert mitigation.approver == taken[0].approver
    assert [step.after for step in mitigation.history].count("APPLIED") == 1


async def test_reject(proposed: Served) -> None:
    ada = proposed.caller("ada", Role.APPROVER, Role.READER)
    plan_hash = (await ada.incident()).mitigations[0].plan_hash
    rejected = await ada.reject(plan_hash)
    assert rejected.state == MITIGATION_STATE_REJECTED
    assert rejected.reason == "the other one"
    assert (await ada.reject(plan_hash)) == rejected


async def test_a_stale_plan_names_the_field(proposed: Served) -> None:
    ada = proposed.caller("ada", Role.APPROVER)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ada.approve("0" * 64)
    code, reason, status = status_of(error.value)
    assert (code, reason) == ("FAILED_PRECONDITION", "STALE_PLAN")
    details = BadRequest()
    assert status.details[1].Unpack(details)
    assert details.field_violations[0].field == "plan_hash"


async def test_readers_do_not_decide(proposed: Served) -> None:
    eve = proposed.caller("eve", Role.READER)
    deciding = (eve.approve("0" * 64), eve.reject("0" * 64), eve.revert(), eve.renew())
    for call in (*deciding, eve.release(), eve.pause(), eve.resume()):
        assert (await refusal(call))[:2] == ("PERMISSION_DENIED", "FORBIDDEN")
    pipeline = proposed.caller("pipeline", Role.PIPELINE)
    assert (await refusal(pipeline.incident()))[0] == "PERMISSION_DENIED"


async def test_nobody_decides_on_their_own_proposal(proposed: Served) -> None:
    itself = proposed.caller("policy:threshold", Role.APPROVER, Role.READER)
    plan_hash = (await itself.incident()).mitigations[0].plan_hash
    code, reason, _ = await refusal(itself.approve(plan_hash))
    assert (code, reason) == ("PERMISSION_DENIED", "NOT_AN_APPROVER")


async def test_an_expired_proposal_is_refused(proposed: Served) -> None:
    ada = proposed.caller("ada", Role.APPROVER)
    plan_hash = (await proposed.runbook.mitigation()).plan_hash
    proposed.runbook.clock.advance(minutes=30)
    code, reason, text = await refusal(ada.approve(plan_hash))
    assert (code, reason) == ("FAILED_PRECONDITION", "INVALID_TRANSITION")
    assert "expired" in text


async def test_what_is_not_in_force_cannot_be_reverted(proposed: Served) -> None:
    code, reason, text = await refusal(proposed.caller("ada", Role.APPROVER).revert())
    assert (code, reason) == ("FAILED_PRECONDITION", "INVALID_TRANSITION")
    assert "is PROPOSED" in text
    assert "APPROVED, EXPIRED, PROPOSED, REJECTED" in text


async def test_what_there_is_not(proposed: Served) -> None:
    ada = proposed.caller("ada", Role.APPROVER, Role.READER)
    assert (await refusal(ada.incident("incidents/INC-9")))[:2] == (
        "NOT_FOUND",
        "INCIDENT_NOT_FOUND",
    )
    missing = ada.approve("0" * 64, "incidents/INC-1/mitigations/9")
    assert (await refusal(missing))[:2] == ("NOT_FOUND", "MITIGATION_NOT_FOUND")
    assert (await refusal(ada.page(page_token="x")))[:2] == (
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
    )


async def test_the_contracts_rules_hold(proposed: Served) -> None:
    ada = proposed.caller("ada", Role.APPROVER, Role.READER)
    for call in (ada.approve("short"), ada.reject("0" * 64, reason=""), ada.incident("INC-1")):
        assert (await refusal(call))[:2] == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_incidents_come_in_pages(served: Served) -> None:
    for number in range(1, 6):
        await served.runbook.see(event(1, BROKEN, model=f"models/m{number}"))
    eve = served.caller("eve", Role.READER)
    first = await eve.page(page_size=3)
    second = await eve.page(page_size=3, page_token=first.next_page_token)
    names = [incident.name for incident in (*first.incidents, *second.incidents)]
    assert names == [f"incidents/INC-{number}" for number in range(5, 0, -1)]
    assert second.next_page_token == ""
    assert [i.name for i in (await eve.page(model="models/m2")).incidents] == ["incidents/INC-2"]


async def test_watchers_get_what_is_and_what_changes(proposed: Served) -> None:
    eve = proposed.caller("eve", Role.READER)
    everything = eve.watch()
    others = eve.watch("models/feed")

    async def following(watch: AsyncIterator[pb.WatchIncidentsResponse]) -> Incident:
        return (await asyncio.wait_for(anext(watch), 20)).incident

    assert (await following(everything)).mitigations[0].state == MITIGATION_STATE_PROPOSED
    await proposed.runbook.say_yes()
    assert (await following(everything)).mitigations[0].state == MITIGATION_STATE_APPROVED
    await proposed.runbook.see(event(1, BROKEN, model="models/feed"))
    assert (await following(others)).name == "incidents/INC-2"


async def test_watchers_see_what_another_replica_commits(proposed: Served, tmp_path: Path) -> None:
    watch = proposed.caller("eve", Role.READER).watch()
    await asyncio.wait_for(anext(watch), 20)
    engine = open_engine(f"sqlite:///{tmp_path}/runbook.sqlite")
    replica = Runbook(SqlStore(SqlTransactions(engine), ChangeSignal()))
    await replica.say_yes()
    engine.dispose()
    changed = (await asyncio.wait_for(anext(watch), 20)).incident
    assert changed.mitigations[0].state == MITIGATION_STATE_APPROVED


async def test_a_pause_is_seen_by_all_and_refuses_approvals(proposed: Served) -> None:
    ada = proposed.caller("ada", Role.APPROVER, Role.READER)
    grace = proposed.caller("grace", Role.APPROVER, Role.READER)
    assert not (await ada.pause_state()).paused
    assert (await ada.pause()).actor == "ada"
    seen = await grace.pause_state()
    assert (seen.paused, seen.actor, seen.reason) == (True, "ada", "the sale")
    plan_hash = (await grace.incident()).mitigations[0].plan_hash
    code, reason, text = await refusal(grace.approve(plan_hash))
    assert (code, reason) == ("FAILED_PRECONDITION", "MITIGATIONS_PAUSED")
    assert "by ada: the sale" in text
    assert not (await grace.resume()).paused
    assert (await grace.approve(plan_hash)).state == MITIGATION_STATE_APPROVED


async def test_a_guard_rail_refuses_at_the_click(proposed: Served) -> None:
    proposed.runbook.rules.rules = rules(guard_rails=GuardRails(never_kill=("user_*",)))
    ada = proposed.caller("ada", Role.APPROVER, Role.READER)
    plan_hash = (await ada.incident()).mitigations[0].plan_hash
    code, reason, text = await refusal(ada.approve(plan_hash))
    assert (code, reason) == ("FAILED_PRECONDITION", "GUARD_RAIL")
    assert "never_kill" in text


async def test_a_quorum_is_shown_and_needs_two(proposed: Served) -> None:
    two = GuardRails(quorums=(Quorum(2, features=1),))
    proposed.runbook.rules.rules = rules(guard_rails=two)
    plan_hash = (await proposed.runbook.mitigation()).plan_hash
    half = await proposed.caller("ada", Role.APPROVER).approve(plan_hash)
    assert half.state == MITIGATION_STATE_PROPOSED
    assert (list(half.approvers), half.required_approvals, half.approver) == (["ada"], 2, "")
    whole = await proposed.caller("grace", Role.APPROVER).approve(plan_hash)
    assert whole.state == MITIGATION_STATE_APPROVED
    assert (list(whole.approvers), whole.approver) == (["ada", "grace"], "grace")


async def test_a_lease_is_renewed_and_released_by_stages(proposed: Served) -> None:
    runbook = proposed.runbook
    ada = proposed.caller("ada", Role.APPROVER, Role.READER)
    await ada.approve((await runbook.mitigation()).plan_hash)
    await runbook.worker.drain()
    until = (await ada.incident()).mitigations[0].lease_expire_time
    assert until.ToDatetime(UTC) == WALL_TIME + timedelta(hours=24)
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    runbook.clock.advance(hours=1)
    renewed = await ada.renew()
    assert renewed.lease_expire_time.ToDatetime(UTC) == WALL_TIME + timedelta(hours=25)
    assert renewed.apply_time.ToDatetime(UTC) == WALL_TIME
    assert (await ada.release()).state == MITIGATION_STATE_RELEASING
    await runbook.worker.drain()
    assert (await ada.incident()).mitigations[0].served_percent == 1
    await runbook.see(*(event(hour, HEALTHY) for hour in range(4, 10)))
    released = (await ada.incident()).mitigations[0]
    assert (released.state, released.served_percent) == (MITIGATION_STATE_RELEASED, 0)


async def test_an_incident_carries_its_evidence(proposed: Served) -> None:
    incident = await proposed.caller("eve", Role.READER).incident()
    assert incident.verdict == INCIDENT_VERDICT_FEATURE_CORRUPTION
    assert [w.name for w in incident.windows] == [incident.comparison.anomaly.name]
    assert incident.windows[0].checkpoint_digest
    top = incident.comparison.shifts[0]
    assert top.lower < top.shift < top.upper
