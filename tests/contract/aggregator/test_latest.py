"""What every store promises of the latest window: one suite over memory, Valkey and a cluster."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from services.aggregator.adapters.memory_records import MemoryRecords
from services.aggregator.adapters.redis_client import connect
from services.aggregator.adapters.redis_durability import Durability
from services.aggregator.adapters.redis_intake import RedisIntake, SampleRules
from services.aggregator.adapters.redis_keeper import RedisKeeper
from services.aggregator.adapters.redis_panes import RedisLatest
from services.aggregator.domain.block import Block, Method, Population
from services.aggregator.domain.errors import CheckpointMismatch
from services.aggregator.domain.latest import LatestPanes, LatestRules
from services.aggregator.domain.summary import summarise
from tests.unit.services.aggregator.redis_store import RedisStore
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import (
    BAND,
    DIGEST,
    HOUR,
    MODEL,
    NOON,
    RULES,
    MemoryStore,
    block,
    checkpoint,
    hour_of,
    lfis,
)
from tests.valkey import ValkeyServer

OTHER_DIGEST = "cd" * 32
LATE = replace(RULES, allowed_lateness=timedelta(days=2))
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def store(store: Store) -> Store:
    await store.checkpoints.register(checkpoint())
    return store


async def append(store: Store, number: int, minutes: int, **changes: object) -> None:
    made = block(lfis(number), f"b{number}", event_time=NOON + minutes * MINUTE)
    made = replace(made, **changes)  # type: ignore[arg-type]
    await store.intake.append(made, hour_of(made.event_time))


async def held(store: Store) -> LatestPanes:
    found = await store.latest.latest(MODEL)
    assert found is not None
    return found


def names(found: LatestPanes) -> list[str]:
    return [entry.name.partition(":")[2] for entry in found.entries]


class TestLatest:
    async def test_is_nothing_without_examples(self, store: Store) -> None:
        assert await store.latest.latest(MODEL) is None
        assert await store.latest.latest("other") is None

    async def test_holds_the_fewest_latest_blocks_of_each_population(self, store: Store) -> None:
        for number in range(5):
            await append(store, number, minutes=number)
        await append(store, 5, minutes=0, population=Population.DISPLAYED)
        found = await held(store)
        assert names(found) == ["b5", "b3", "b4"]
        assert (found.digest, found.method) == (DIGEST, Method.PSEUDO_LOSS)
        assert found.restart_time is None
        panes = await store.latest.latest_panes(MODEL, found.entries)
        expected = [lfis(5), lfis(3), lfis(4)]
        for pane, dense in zip(panes, expected, strict=True):
            assert pane is not None
            assert pane.values.tolist() == pytest.approx(block(dense).values.tolist(), rel=1e-3)

    async def test_does_not_depend_on_the_order_of_arrival(self, store: Store) -> None:
        for number in (3, 0, 4, 1, 2):
            await append(store, number, minutes=number)
        assert names(await held(store)) == ["b3", "b4"]

    async def test_counts_a_duplicate_once(self, store: Store) -> None:
        await append(store, 1, minutes=0)
        before = await held(store)
        await append(store, 1, minutes=0)
        assert await held(store) == before

    async def test_waits_for_a_step_of_small_blocks(self, store: Store) -> None:
        await append(store, 1, minutes=0)
        before = await held(store)
        small = [replace(block(lfis(n, 50)), block_id=f"s{n}") for n in range(2)]
        await store.intake.append(replace(small[0], event_time=NOON + MINUTE), hour_of(NOON))
        assert await held(store) == before
        await store.intake.append(replace(small[1], event_time=NOON + MINUTE), hour_of(NOON))
        after = await held(store)
        assert names(after) == ["b1", "s0", "s1"]
        assert after.step == before.step + 1

    async def test_outlives_the_windows_of_event_time(self, store: Store) -> None:
        await append(store, 1, minutes=0)
        await append(store, 2, minutes=60)
        window = await store.windows.window(MODEL, NOON)
        summary = summarise(await store.windows.panes(window), 3, window.name, resamples=20)
        keeper = store.keeper("a")
        assert await keeper.close(window, summary)
        found = await held(store)
        assert names(found) == ["b1", "b2"]
        assert None not in await store.latest.latest_panes(MODEL, found.entries)
        await keeper.forget(MODEL, NOON)
        assert None not in await store.latest.latest_panes(MODEL, found.entries)

    async def test_begins_anew_with_another_checkpoint(self, store: Store) -> None:
        await store.checkpoints.register(checkpoint(digest=OTHER_DIGEST))
        for number in range(2):
            await append(store, number, minutes=number)
        await append(store, 2, minutes=60, digest=OTHER_DIGEST)
        found = await held(store)
        assert (names(found), found.digest) == (["b2"], OTHER_DIGEST)
        assert found.restart_time == NOON + MINUTE

    async def test_is_left_alone_by_a_refused_block(self, store: Store) -> None:
        await append(store, 1, minutes=0)
        before = await held(store)
        with pytest.raises(CheckpointMismatch):
            await append(store, 2, minutes=1, method=Method.RELATIVE)
        assert await held(store) == before


class Pair:
    """Memory and Valkey under the same blocks, with two days of allowed lateness."""

    def __init__(self, client: Redis, rules: LatestRules) -> None:
        memory = MemoryStore(MemoryRecords(LATE, BAND), rules)
        sample = SampleRules(0, HOUR)
        self.client = client
        self.keeper = RedisKeeper(client, LATE, "a")
        self.stores = memory, RedisStore(client)
        self.intakes = memory.intake, RedisIntake(client, LATE, sample, rules, Durability())
        self.readers = memory.latest, RedisLatest(client)

    async def append(self, made: Block) -> None:
        for intake in self.intakes:
            await intake.append(made, hour_of(made.event_time))

    async def check_same(self) -> None:
        in_memory, in_redis = [await reader.latest(MODEL) for reader in self.readers]
        assert in_redis == in_memory

    async def check_panes(self) -> None:
        """What is stored is what an open window or the latest one holds, and no more."""
        found = await self.readers[1].latest(MODEL)
        assert found is not None
        waiting: Any = await self.client.smembers(f"as:{{{MODEL}}}:latest:waiting")
        allowed = {entry.name for entry in found.entries}
        allowed |= {member.decode().partition(":")[2] for member in waiting}
        for window in await self.stores[1].windows.windows(MODEL, None, 100):
            await self.keeper.close(window, summarise([], 3, window.name, 2))
        kept: Any = await self.client.hkeys(f"as:{{{MODEL}}}:panes")
        assert {name.decode() for name in kept} == allowed


def any_blocks(rng: random.Random) -> Sequence[Block]:
    """Blocks of four hours, each scored by one of two checkpoints, in any order."""
    digests = [rng.choice((DIGEST, OTHER_DIGEST)) for _ in range(4)]
    made = []
    for number in range(40):
        hour = rng.randrange(4)
        drawn = block(lfis(number, rng.choice((1, 5, 30))), f"b{number}:{hour}")
        made.append(
            replace(
                drawn,
                event_time=NOON + hour * HOUR + rng.randrange(4) * 10 * MINUTE,
                digest=digests[hour],
                population=rng.choice(list(Population)),
            )
        )
    return made


@pytest.mark.parametrize("seed", range(12))
async def test_memory_and_valkey_agree_after_every_block(valkey: ValkeyServer, seed: int) -> None:
    rng = random.Random(seed)
    async with connect(valkey.url) as client:
        pair = Pair(client, LatestRules(rng.choice((20, 100)), rng.choice((1, 40))))
        for store in pair.stores:
            await store.checkpoints.register(checkpoint())
            await store.checkpoints.register(checkpoint(digest=OTHER_DIGEST))
        blocks = any_blocks(rng)
        for made in blocks:
            await pair.append(made)
            await pair.check_same()
        await pair.check_panes()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_order_the_end_is_the_same(valkey: ValkeyServer, seed: int) -> None:
    rng = random.Random(seed)
    blocks, ends = any_blocks(rng), []
    async with connect(valkey.url) as client:
        for _ in range(3):
            await client.flushall()
            pair = Pair(client, LatestRules(60, 1))
            await pair.stores[1].checkpoints.register(checkpoint())
            await pair.stores[1].checkpoints.register(checkpoint(digest=OTHER_DIGEST))
            for made in rng.sample(list(blocks), len(blocks)):
                await pair.intakes[1].append(made, hour_of(made.event_time))
            found = await pair.readers[1].latest(MODEL)
            assert found is not None
            ends.append(replace(found, step=0))
    assert ends[0] == ends[1] == ends[2]


async def test_switched_off_it_lets_its_panes_go(valkey: ValkeyServer) -> None:
    async with connect(valkey.url) as client:
        store = RedisStore(client)
        await store.checkpoints.register(checkpoint())
        await append(store, 1, minutes=0)
        off = RedisIntake(client, RULES, SampleRules(0, HOUR), LatestRules(0, 1), Durability())
        await off.append(replace(block(lfis(2)), block_id="b2"), hour_of(NOON))
        assert await store.latest.latest(MODEL) is None
        window = await store.windows.window(MODEL, NOON)
        assert len(await store.windows.panes(window)) == 2
        await store.keeper("a").close(window, summarise([], 3, window.name, 2))
        assert not await client.exists(f"as:{{{MODEL}}}:panes")
