"""What subscribers see, and that no failure of ours un-kills a feature."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import pytest

from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.memory_killed_features import MemoryKilledFeatures
from services.runbook.domain.errors import ActuatorUnavailable, StoreUnavailable
from services.runbook.domain.kill_switch import Kill
from services.runbook.domain.plan import KILLED, SERVED, Change, MitigationKind, Plan

KILL_A = Change({"a": SERVED}, {"a": KILLED})


class Breakable(MemoryKilledFeatures):
    broken = False

    async def read(self) -> Mapping[tuple[str, str], Kill]:
        if self.broken:
            raise StoreUnavailable("the database is gone")
        return await super().read()


async def following(configurations: AsyncIterator[str]) -> set[str]:
    configuration = await asyncio.wait_for(anext(configurations), 10.0)
    flags: dict[str, object] = json.loads(configuration)["flags"]
    return set(flags)


async def test_flags_are_flagds() -> None:
    killed = MemoryKilledFeatures()
    await killed.switch("1", "models/ads_ctr", KILL_A)
    assert json.loads(await FlagBoard(killed).configuration("")) == {
        "flags": {
            "aftershock.kill.ads_ctr.a": {
                "state": "ENABLED",
                "variants": {"on": True, "off": False},
                "defaultVariant": "on",
            }
        }
    }


async def test_a_share_of_traffic_is_fractional_targeting() -> None:
    killed = MemoryKilledFeatures()
    board = FlagBoard(killed)
    await killed.switch("incidents/INC-1/mitigations/1", "models/ads_ctr", KILL_A)

    async def flag(percent: int, step: int) -> dict[str, object]:
        await killed.expose("incidents/INC-1/mitigations/1", percent, step)
        await board.refresh()
        flags = json.loads(await board.configuration("ads_ctr"))["flags"]
        found: dict[str, object] = flags["aftershock.kill.ads_ctr.a"]
        return found

    bucket = {"cat": ["incidents/INC-1/mitigations/1", {"var": "targetingKey"}]}
    share = {"fractional": [bucket, ["off", 10], ["on", 90]]}
    assert (await flag(10, 1))["targeting"] == {"if": [{"var": "targetingKey"}, share, "on"]}
    all_traffic = await flag(100, 2)
    assert all_traffic["defaultVariant"] == "off"
    assert "targeting" not in all_traffic
    assert "targeting" not in await flag(0, 3)


async def test_a_subscriber_gets_the_state_and_then_each_change() -> None:
    killed = MemoryKilledFeatures()
    board = FlagBoard(killed)
    configurations = board.configurations("")
    assert await following(configurations) == set()
    await killed.switch("1", "models/ads_ctr", KILL_A)
    await board.refresh()
    assert await following(configurations) == {"aftershock.kill.ads_ctr.a"}
    await killed.restore("1", "models/ads_ctr", KILL_A)
    await board.refresh()
    assert await following(configurations) == set()


async def test_a_selector_narrows_to_a_model() -> None:
    killed = MemoryKilledFeatures()
    for key, model in (("1", "models/ads"), ("2", "models/ads_ctr")):
        await killed.switch(key, model, KILL_A)
    board = FlagBoard(killed)
    assert await following(board.configurations("ads")) == {"aftershock.kill.ads.a"}
    assert await following(board.configurations("feed")) == set()


async def test_a_broken_store_leaves_the_flags_as_they_are() -> None:
    killed = Breakable()
    board = FlagBoard(killed)
    await killed.switch("1", "models/ads_ctr", KILL_A)
    await board.refresh()
    killed.broken = True
    follower = asyncio.create_task(board.follow())
    await asyncio.sleep(0.01)
    assert await following(board.configurations("")) == {"aftershock.kill.ads_ctr.a"}
    follower.cancel()


async def test_a_store_that_was_never_read_is_no_empty_configuration() -> None:
    killed = Breakable()
    killed.broken = True
    with pytest.raises(StoreUnavailable):
        await FlagBoard(killed).configuration("")


async def test_a_kill_that_could_not_be_told_is_told_again() -> None:
    killed = Breakable()
    board = FlagBoard(killed)
    actuator = FlagdSync(killed, board)
    plan = Plan("INC-1", "models/ads_ctr", MitigationKind.KILL_SWITCH, ("a",))
    change = await actuator.plan(plan)
    killed.broken = True
    with pytest.raises(ActuatorUnavailable):
        await actuator.apply("1", plan, change)
    killed.broken = False
    await actuator.apply("1", plan, change)
    assert await following(board.configurations("")) == {"aftershock.kill.ads_ctr.a"}


async def test_an_older_read_that_ends_later_brings_nothing_back() -> None:
    class Slow(MemoryKilledFeatures):
        def __init__(self) -> None:
            super().__init__()
            self.slow = asyncio.Event()

        async def read(self) -> Mapping[tuple[str, str], Kill]:
            found = await super().read()
            if not found:
                await self.slow.wait()
            return found

    killed = Slow()
    board = FlagBoard(killed)
    older = asyncio.create_task(board.refresh())
    await asyncio.sleep(0)
    await killed.switch("1", "models/ads_ctr", KILL_A)
    newer = asyncio.create_task(board.refresh())
    await asyncio.sleep(0)
    killed.slow.set()
    await asyncio.gather(older, newer)
    assert await following(board.configurations("")) == {"aftershock.kill.ads_ctr.a"}


async def test_streams_end_when_the_server_does() -> None:
    board = FlagBoard(MemoryKilledFeatures())
    follower = asyncio.create_task(board.follow())
    configurations = board.configurations("")
    await following(configurations)
    follower.cancel()
    with pytest.raises(StopAsyncIteration):
        await following(configurations)
