"""Kill-switches and the stores of killed features, over every implementation.

What every actuator has to do is in test_actuator_contract.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.memory_killed_features import MemoryKilledFeatures
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_killed_features import SqlKilledFeatures
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.errors import ActuatorConflict, ActuatorRefused
from services.runbook.domain.kill_switch import Kill
from services.runbook.domain.plan import KILLED, SERVED, Change, MitigationKind, Plan
from services.runbook.ports import Actuator, KilledFeatures
from tests.postgres import PostgresServer
from tests.unit.services.runbook.builders import MODEL, KillSwitches

ONE = "incidents/INC-1/mitigations/1"
TWO = "incidents/INC-2/mitigations/1"


def kill(*features: str, model: str = MODEL) -> Plan:
    return Plan("INC-1", model, MitigationKind.KILL_SWITCH, features)


AB, BC = kill("a", "b"), kill("b", "c")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def killed(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer
) -> Iterator[KilledFeatures]:
    if request.param == "memory":
        yield MemoryKilledFeatures()
        return
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/r.sqlite" if on_sqlite else postgres_server.empty_database()
    engine = open_engine(url)
    upgrade(engine)
    yield SqlKilledFeatures(SqlTransactions(engine))
    engine.dispose()


@pytest.fixture(params=["dry_run", "flagd_sync"])
def actuator(request: pytest.FixtureRequest, killed: KilledFeatures) -> KillSwitches:
    if request.param == "dry_run":
        return DryRun()
    return FlagdSync(killed, FlagBoard(killed))


async def test_what_is_applied_is_observed(actuator: Actuator) -> None:
    change = await actuator.plan(AB)
    await actuator.apply(ONE, AB, change)
    assert await actuator.observe(AB) == change.target
    assert await actuator.observe(BC) == {"b": KILLED, "c": SERVED}


async def test_an_unexpected_ground_is_a_conflict_and_changes_nothing(actuator: Actuator) -> None:
    stale = await actuator.plan(BC)
    await actuator.apply(ONE, AB, await actuator.plan(AB))
    with pytest.raises(ActuatorConflict, match="b since"):
        await actuator.apply(TWO, BC, stale)
    assert await actuator.observe(BC) == {"b": KILLED, "c": SERVED}


async def test_reverting_puts_back_what_was_there(actuator: Actuator) -> None:
    first = await actuator.plan(AB)
    await actuator.apply(ONE, AB, first)
    second = await actuator.plan(BC)
    assert second.previous == {"b": KILLED, "c": SERVED}
    await actuator.apply(TWO, BC, second)
    await actuator.revert(TWO, BC, second)
    assert await actuator.observe(kill("a", "b", "c")) == {"a": KILLED, "b": KILLED, "c": SERVED}
    for _ in range(3):
        await actuator.revert(ONE, AB, first)
    assert await actuator.observe(AB) == first.previous


async def test_reverting_what_was_never_applied_undoes_nobody_elses_work(
    actuator: Actuator,
) -> None:
    change = await actuator.plan(AB)
    await actuator.apply(ONE, AB, change)
    await actuator.revert(TWO, AB, change)
    assert await actuator.observe(AB) == change.target
    with pytest.raises(ActuatorConflict):
        await actuator.apply(TWO, AB, change)


async def test_a_share_of_traffic_is_served_again_and_killed_again(actuator: KillSwitches) -> None:
    change = await actuator.plan(AB)
    await actuator.apply(ONE, AB, change)
    for step, percent in enumerate((1, 1, 10, 100)):
        await actuator.expose(ONE, AB, percent, step)
        assert set((await actuator.observe(AB)).values()) == {f"served to {percent} %"}
    await actuator.expose(ONE, AB, 0, 4)
    assert await actuator.observe(AB) == change.target
    # Somebody who was asked before, and wakes up late.
    await actuator.expose(ONE, AB, 10, 2)
    assert await actuator.observe(AB) == change.target
    await actuator.revert(ONE, AB, change)
    assert await actuator.observe(AB) == change.previous


async def test_a_share_is_of_one_mitigation(actuator: KillSwitches) -> None:
    other = kill("a", model="models/feed")
    await actuator.apply(ONE, AB, await actuator.plan(AB))
    await actuator.apply(TWO, other, await actuator.plan(other))
    await actuator.expose(ONE, AB, 10, 1)
    assert await actuator.observe(other) == {"a": KILLED}


async def test_what_was_reverted_is_not_exposed(actuator: KillSwitches) -> None:
    change = await actuator.plan(AB)
    await actuator.apply(ONE, AB, change)
    await actuator.revert(ONE, AB, change)
    await actuator.expose(ONE, AB, 0, 1)
    assert await actuator.observe(AB) == change.previous


async def test_nobody_plans_on_what_is_coming_back(actuator: KillSwitches) -> None:
    await actuator.apply(ONE, AB, await actuator.plan(AB))
    await actuator.expose(ONE, AB, 10, 1)
    change = await actuator.plan(BC)
    with pytest.raises(ActuatorConflict, match="b is being served again by stages"):
        await actuator.apply(TWO, BC, change)
    assert (await actuator.observe(BC))["c"] == SERVED


async def test_the_store_names_model_and_feature(killed: KilledFeatures) -> None:
    assert await killed.read() == {}
    change = Change({"a": SERVED}, {"a": KILLED})
    await killed.switch(ONE, MODEL, change)
    await killed.switch(TWO, "models/feed", change)
    assert await killed.read() == {(MODEL, "a"): Kill(ONE), ("models/feed", "a"): Kill(TWO)}
    await killed.restore(ONE, MODEL, change)
    assert await killed.read() == {("models/feed", "a"): Kill(TWO)}


async def test_flags_carry_out_kill_switches_only(killed: KilledFeatures) -> None:
    rollback = Plan("INC-1", MODEL, MitigationKind.CHECKPOINT_ROLLBACK, ())
    with pytest.raises(ActuatorRefused, match="CHECKPOINT_ROLLBACK"):
        await FlagdSync(killed, FlagBoard(killed)).plan(rollback)
