"""The contract of actuators, over every one of them."""

import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest
from tenacity import wait_none

from services.runbook.adapters.actuators.by_kind import ByKind
from services.runbook.adapters.actuators.dry_rollback import DryRollback
from services.runbook.adapters.actuators.dry_rows import DryRows
from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.actuators.mlflow_alias import MlflowAlias
from services.runbook.adapters.actuators.webhook import Webhook
from services.runbook.adapters.memory_killed_features import MemoryKilledFeatures
from services.runbook.adapters.mlflow_registry import MlflowRegistry
from services.runbook.adapters.standard_webhook import StandardWebhook
from services.runbook.adapters.system_clock import SystemClock
from services.runbook.domain.errors import ActuatorConflict, ActuatorRefused
from services.runbook.domain.plan import Change, MitigationKind, Plan
from services.runbook.domain.suspect import SuspectLabel
from services.runbook.ports import Actuator
from tests.mlflow import MlflowServer
from tests.webhook_receiver import SECRET, receiving

ONE = "incidents/INC-1/mitigations/1"
TWO = "incidents/INC-2/mitigations/1"
DAYS = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")


@dataclass(frozen=True)
class Subject:
    """An actuator, and plans for it: `one` and `other` have a lever in common."""

    actuator: Actuator
    one: Plan
    other: Plan
    elsewhere: Plan
    """Of another model."""


def kill(model: str, *features: str) -> Plan:
    return Plan("INC-1", f"models/{model}", MitigationKind.KILL_SWITCH, features)


def rollback(model: str, checkpoint: str) -> Plan:
    kind = MitigationKind.CHECKPOINT_ROLLBACK
    return Plan("INC-1", f"models/{model}", kind, checkpoint=checkpoint)


KILLS = (kill("ads", "a", "b"), kill("ads", "b", "c"), kill("feed", "a", "b"))
ROLLBACKS = (rollback("ads", "1"), rollback("ads", "7"), rollback("feed", "1"))


def mask(model: str, *ids: str) -> Plan:
    labels = tuple(SuspectLabel(each, feature="watched") for each in ids)
    return Plan("INC-1", f"models/{model}", MitigationKind.ID_MASK, labels=labels)


def rows(kind: MitigationKind, model: str, *labels: str) -> Plan:
    suspects = tuple(
        SuspectLabel(each, node="dataset:ads:clicks", outcome="1", share=0.9, target_share=0.1)
        for each in labels
    )
    return Plan("INC-1", f"models/{model}", kind, labels=suspects)


MASKS = (mask("ads", "1", "2"), mask("ads", "2", "-3"), mask("feed", "1", "2"))
QUARANTINES, REBALANCES = (
    (rows(kind, "ads", "1", "2"), rows(kind, "ads", "2", "3"), rows(kind, "feed", "1", "2"))
    for kind in (MitigationKind.ROW_QUARANTINE, MitigationKind.ROW_REBALANCE)
)
BY_WEBHOOK = {
    "webhook_kill_switch": KILLS,
    "webhook_rollback": ROLLBACKS,
    "webhook_mask": MASKS,
    "webhook_quarantine": QUARANTINES,
    "webhook_rebalance": REBALANCES,
}


async def mlflow_subject(server: MlflowServer, stack: AsyncExitStack) -> Subject:
    here, there = (uuid.uuid4().hex for _ in range(2))
    for model in (here, there):
        server.register(model, *DAYS)
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=30))
    actuator = MlflowAlias(MlflowRegistry(http, "champion"))
    return Subject(actuator, rollback(here, "2"), rollback(here, "1"), rollback(there, "2"))


async def webhook(stack: AsyncExitStack) -> Webhook:
    receiver = stack.enter_context(receiving(threading.Event()))
    http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
    return Webhook(StandardWebhook(http, receiver.url, SECRET, SystemClock(), pauses=wait_none()))


@pytest.fixture(
    params=[
        "dry_run",
        "dry_rollback",
        "flagd_sync",
        "flagd_sync_mask",
        "dry_mask",
        "dry_quarantine",
        "dry_rebalance",
        "by_kind",
        *BY_WEBHOOK,
        "mlflow_alias",
    ]
)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as stack:
        if request.param == "mlflow_alias":
            yield await mlflow_subject(request.getfixturevalue("mlflow_server"), stack)
        elif request.param in {"flagd_sync", "flagd_sync_mask"}:
            killed = MemoryKilledFeatures()
            plans = KILLS if request.param == "flagd_sync" else MASKS
            yield Subject(FlagdSync(killed, FlagBoard(killed)), *plans)
        elif request.param == "by_kind":
            yield Subject(ByKind({MitigationKind.KILL_SWITCH: DryRun()}), *KILLS)
        elif request.param == "dry_run":
            yield Subject(DryRun(), *KILLS)
        elif request.param == "dry_mask":
            yield Subject(DryRun(), *MASKS)
        elif request.param == "dry_quarantine":
            yield Subject(DryRows(), *QUARANTINES)
        elif request.param == "dry_rebalance":
            yield Subject(DryRows(), *REBALANCES)
        elif request.param == "dry_rollback":
            yield Subject(DryRollback(), *ROLLBACKS)
        else:
            yield Subject(await webhook(stack), *BY_WEBHOOK[request.param])


async def test_planning_changes_nothing(subject: Subject) -> None:
    change = await subject.actuator.plan(subject.one)
    assert change.previous.keys() == change.target.keys()
    assert change.previous != change.target
    assert await subject.actuator.observe(subject.one) == change.previous


async def test_what_is_applied_is_observed(subject: Subject) -> None:
    change = await subject.actuator.plan(subject.one)
    await subject.actuator.apply(ONE, subject.one, change)
    assert await subject.actuator.observe(subject.one) == change.target


async def test_a_key_acts_once(subject: Subject) -> None:
    change = await subject.actuator.plan(subject.one)
    for _ in range(3):
        await subject.actuator.apply(ONE, subject.one, change)
    assert await subject.actuator.observe(subject.one) == change.target


async def test_a_key_that_acted_does_not_act_again_on_what_others_did(subject: Subject) -> None:
    change = await subject.actuator.plan(subject.one)
    await subject.actuator.apply(ONE, subject.one, change)
    await subject.actuator.apply(TWO, subject.other, await subject.actuator.plan(subject.other))
    found = await subject.actuator.observe(subject.other)
    await subject.actuator.apply(ONE, subject.one, change)
    assert await subject.actuator.observe(subject.other) == found


async def test_an_unexpected_ground_is_a_conflict_and_changes_nothing(subject: Subject) -> None:
    stale = await subject.actuator.plan(subject.other)
    await subject.actuator.apply(ONE, subject.one, await subject.actuator.plan(subject.one))
    found = await subject.actuator.observe(subject.other)
    with pytest.raises(ActuatorConflict, match="since"):
        await subject.actuator.apply(TWO, subject.other, stale)
    assert await subject.actuator.observe(subject.other) == found


async def test_reverting_puts_back_what_was_there(subject: Subject) -> None:
    first = await subject.actuator.plan(subject.one)
    await subject.actuator.apply(ONE, subject.one, first)
    second = await subject.actuator.plan(subject.other)
    await subject.actuator.apply(TWO, subject.other, second)
    await subject.actuator.revert(TWO, subject.other, second)
    assert await subject.actuator.observe(subject.other) == second.previous
    for _ in range(3):
        await subject.actuator.revert(ONE, subject.one, first)
    assert await subject.actuator.observe(subject.one) == first.previous


async def test_a_reverted_key_never_acts_again(subject: Subject) -> None:
    change = await subject.actuator.plan(subject.one)
    await subject.actuator.apply(ONE, subject.one, change)
    await subject.actuator.revert(ONE, subject.one, change)
    with pytest.raises(ActuatorConflict, match=r"taken back|reverted"):
        await subject.actuator.apply(f"{ONE}", subject.one, Change(change.previous, change.target))
    assert await subject.actuator.observe(subject.one) == change.previous


async def test_reverting_what_was_never_applied_undoes_nobody_elses_work(subject: Subject) -> None:
    change = await subject.actuator.plan(subject.one)
    await subject.actuator.apply(ONE, subject.one, change)
    await subject.actuator.revert(TWO, subject.one, change)
    assert await subject.actuator.observe(subject.one) == change.target
    with pytest.raises(ActuatorConflict):
        await subject.actuator.apply(TWO, subject.one, change)


async def test_reverting_leaves_what_others_put_in_force_since(subject: Subject) -> None:
    change = await subject.actuator.plan(subject.one)
    await subject.actuator.apply(ONE, subject.one, change)
    later = await subject.actuator.plan(subject.other)
    await subject.actuator.apply(TWO, subject.other, later)
    await subject.actuator.revert(ONE, subject.one, change)
    found = await subject.actuator.observe(subject.other)
    changed = {lever for lever in later.target if later.previous[lever] != later.target[lever]}
    assert {lever: found[lever] for lever in changed} == {x: later.target[x] for x in changed}


async def test_models_do_not_touch_each_other(subject: Subject) -> None:
    before = await subject.actuator.observe(subject.elsewhere)
    await subject.actuator.apply(ONE, subject.one, await subject.actuator.plan(subject.one))
    assert await subject.actuator.observe(subject.elsewhere) == before


async def test_a_kind_without_an_actuator_is_refused() -> None:
    with pytest.raises(ActuatorRefused, match="CHECKPOINT_ROLLBACK"):
        await ByKind({MitigationKind.KILL_SWITCH: DryRun()}).plan(rollback("ads", "1"))
