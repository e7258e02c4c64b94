"""Rollbacks against a real MLflow server."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from services.runbook.adapters.actuators.mlflow_alias import MlflowAlias
from services.runbook.adapters.mlflow_registry import MlflowRegistry
from services.runbook.domain.errors import (
    ActuatorConflict,
    ActuatorRefused,
    ActuatorUnavailable,
    RegistryUnavailable,
)
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.rollback import rollback_target
from tests.mlflow import MlflowServer, digest_of

KEY = "incidents/INC-1/mitigations/1"
DAYS = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "no time", "2026-03-01T00:00:00Z")


@pytest.fixture
def model(mlflow_server: MlflowServer) -> str:
    name = uuid.uuid4().hex
    mlflow_server.register(name, *DAYS)
    return name


@pytest.fixture
async def registry(mlflow_server: MlflowServer) -> AsyncIterator[MlflowRegistry]:
    async with httpx.AsyncClient(base_url=mlflow_server.url, timeout=30) as http:
        yield MlflowRegistry(http, "champion")


def rollback(model: str, checkpoint: str, replaces: str = "4") -> Plan:
    kind = MitigationKind.CHECKPOINT_ROLLBACK
    return Plan("INC-1", f"models/{model}", kind, checkpoint=checkpoint, replaces=replaces)


async def test_the_newest_version_from_before_the_corruption(
    registry: MlflowRegistry, model: str
) -> None:
    registered = await registry.registered(f"models/{model}")
    assert registered.serving == "4"
    assert {c.version: c.digest for c in registered.checkpoints} == {
        str(number): digest_of(day) for number, day in enumerate(DAYS, 1)
    }
    assert len(registered.checkpoints) == len(DAYS)
    assert rollback_target(registered, datetime(2026, 2, 15, tzinfo=UTC)) == "2"
    assert rollback_target(registered, datetime(2026, 4, 1, tzinfo=UTC)) == "2"
    assert rollback_target(registered, datetime(2026, 1, 2, tzinfo=UTC)) == "1"
    assert rollback_target(registered, datetime(2025, 1, 2, tzinfo=UTC)) is None


async def test_a_change_before_or_between_is_a_conflict_and_stays(
    mlflow_server: MlflowServer, registry: MlflowRegistry, model: str
) -> None:
    actuator, plan = MlflowAlias(registry), rollback(model, "2")
    change = await actuator.plan(plan)
    mlflow_server.move(model, "3")
    with pytest.raises(ActuatorConflict, match="champion to version 3"):
        await actuator.apply(KEY, plan, change)
    with pytest.raises(ActuatorConflict, match="champion to version 3"):
        await actuator.plan(plan)
    assert mlflow_server.champion(model) == "3"
    await actuator.revert(KEY, plan, change)
    assert mlflow_server.champion(model) == "3"


async def test_a_change_right_after_ours_is_a_conflict_and_stays(
    mlflow_server: MlflowServer, model: str
) -> None:
    async def someone_else(answer: httpx.Response) -> None:
        request = answer.request
        if request.method == "POST" and request.url.path.endswith("/alias"):
            mlflow_server.move(model, "3")

    hooks = {"response": [someone_else]}
    async with httpx.AsyncClient(base_url=mlflow_server.url, timeout=30, event_hooks=hooks) as http:
        actuator, plan = MlflowAlias(MlflowRegistry(http, "champion")), rollback(model, "2")
        change = await actuator.plan(plan)
        for _ in range(2):
            with pytest.raises(ActuatorConflict, match="champion to version 3"):
                await actuator.apply(KEY, plan, change)
    assert mlflow_server.champion(model) == "3"


async def test_an_attempt_that_died_in_the_middle_is_finished(
    mlflow_server: MlflowServer, registry: MlflowRegistry, model: str
) -> None:
    actuator, plan = MlflowAlias(registry), rollback(model, "2")
    change = await actuator.plan(plan)
    await registry.write_note(plan.model, KEY, "APPLYING")
    mlflow_server.move(model, "2")
    await actuator.apply(KEY, plan, change)
    assert mlflow_server.champion(model) == "2"
    await actuator.revert(KEY, plan, change)
    assert mlflow_server.champion(model) == "4"


async def test_what_the_registry_does_not_have(registry: MlflowRegistry, model: str) -> None:
    actuator = MlflowAlias(registry)
    with pytest.raises(ActuatorRefused, match="no version 9"):
        await actuator.plan(rollback(model, "9"))
    with pytest.raises(ActuatorRefused, match="no version 1"):
        await actuator.plan(rollback("nobody", "1"))
    with pytest.raises(ActuatorRefused, match="KILL_SWITCH"):
        await actuator.plan(Plan("INC-1", f"models/{model}", MitigationKind.KILL_SWITCH, ("a",)))
    with pytest.raises(RegistryUnavailable, match="404"):
        await registry.registered("models/nobody")


async def test_a_server_that_is_down() -> None:
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1") as http:
        with pytest.raises(ActuatorUnavailable, match="does not answer"):
            await MlflowAlias(MlflowRegistry(http, "champion")).observe(rollback("ads", "1"))
