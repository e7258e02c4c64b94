"""What every log of lineage promises: one suite over memory, a real Valkey and a cluster."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from services.aggregator.adapters.memory_lineage import MemoryLineage
from services.aggregator.adapters.redis_client import connect
from services.aggregator.adapters.redis_lineage import RedisLineage
from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.lineage.errors import LogForgotten
from services.aggregator.domain.lineage.facts import (
    Edge,
    EndedEdge,
    EventKind,
    LineageFacts,
    Node,
    TimelineEvent,
    Transform,
    TransformKind,
)
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.nodes import feature_node, model_node, parse_node
from tests.valkey import ValkeyServer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
_TABLE, _AGE = parse_node("dataset:lake:users"), feature_node("age")
_KEPT = timedelta(days=8)

Lineage = MemoryLineage | RedisLineage


@pytest.fixture
def lineage(backend: Redis | None) -> Lineage:
    return MemoryLineage() if backend is None else RedisLineage(backend, _KEPT, lambda: NOON)


@pytest.fixture
def another(lineage: Lineage, backend: Redis | None) -> Lineage:
    """Another replica's."""
    return lineage if backend is None else RedisLineage(backend, _KEPT, lambda: NOON)


def facts(key: str) -> LineageFacts:
    return LineageFacts(
        key=key,
        provenance="somebody",
        time=NOON,
        nodes=[Node(_TABLE, "users", "ada", "v1", '{"x": 1}')],
        edges=[
            Edge(_TABLE, _AGE, Transform(TransformKind.INDIRECT, "FILTER", "adults")),
            Edge(_AGE, model_node("m"), strength=0.5, valid_from=NOON, valid_until=NOON + _KEPT),
        ],
        ended_edges=[EndedEdge(_TABLE, feature_node("old"))],
        ended_nodes=[feature_node("gone")],
        restated_nodes=[_AGE],
        is_complete=True,
        events=[TimelineEvent("e", _TABLE, EventKind.DEPLOY, NOON, "deployed", "ada", "{}")],
    )


async def read_all(lineage: Lineage, cursor: str = "") -> tuple[list[LineageFacts], str]:
    found: list[LineageFacts] = []
    while (reading := await lineage.read(cursor)).cursor != cursor:
        found.extend(reading.facts)
        cursor = reading.cursor
    return found, cursor


async def test_facts_come_out_as_they_went_in_and_in_order(
    lineage: Lineage, another: Lineage
) -> None:
    told = [facts(f"k{n}") for n in range(250)]
    for some in told:
        assert await lineage.record(some)
    found, cursor = await read_all(lineage)
    assert found == told
    assert await read_all(another) == (told, cursor)
    assert (await read_all(lineage))[0] == told
    assert await read_all(lineage, cursor) == ([], cursor)
    await lineage.record(facts("later"))
    assert (await read_all(lineage, cursor))[0] == [facts("later")]


async def test_facts_of_one_key_are_recorded_once(lineage: Lineage) -> None:
    assert await lineage.record(facts("a"))
    assert not await lineage.record(replace(facts("a"), provenance="other"))
    assert (await read_all(lineage))[0] == [facts("a")]


async def test_a_log_that_is_empty_has_nothing_and_no_snapshot(lineage: Lineage) -> None:
    assert await read_all(lineage) == ([], "")
    assert await lineage.load() is None


async def test_a_snapshot_and_the_log_after_it_are_the_whole_graph(lineage: Lineage) -> None:
    graph = LineageGraph()
    for number in range(3):
        await lineage.record(facts(f"k{number}"))
        found, cursor = await read_all(lineage)
        graph = LineageGraph()
        for some in found:
            graph.apply(some)
    assert await lineage.save(graph.state(NOON), cursor)
    kept = await lineage.load()
    assert kept is not None
    state, reached = kept
    assert reached == cursor
    again, expected = LineageGraph.of(state).state(NOON), graph.state(NOON)
    assert again.nodes == expected.nodes
    assert (again.provenances, again.transforms) == (expected.provenances, expected.transforms)
    assert again.restated == expected.restated
    for name in ("source", "target", "transform", "start", "end", "last"):
        assert again.rows[name].tolist() == expected.rows[name].tolist()
    assert again.rows["strength"].tobytes() == expected.rows["strength"].tobytes()


async def test_an_earlier_snapshot_does_not_replace_a_later_one(lineage: Lineage) -> None:
    await lineage.record(facts("a"))
    _, early = await read_all(lineage)
    await lineage.record(facts("b"))
    _, late = await read_all(lineage)
    assert await lineage.save(LineageGraph().state(NOON), late)
    assert not await lineage.save(LineageGraph().state(NOON), early)
    assert not await lineage.save(LineageGraph().state(NOON), late)
    kept = await lineage.load()
    assert kept is not None
    assert kept[1] == late


async def test_whoever_lags_behind_what_is_forgotten_is_told(lineage: Lineage) -> None:
    cursors = [""]
    for number in range(3):
        await lineage.record(facts(f"k{number}"))
        cursors.append((await read_all(lineage))[1])
    await lineage.save(LineageGraph().state(NOON), cursors[2])
    await lineage.save(LineageGraph().state(NOON), cursors[3])
    with pytest.raises(LogForgotten):
        await lineage.read(cursors[0])
    assert await read_all(lineage, cursors[3]) == ([], cursors[3])
    assert not await lineage.record(facts("k0"))


@pytest.fixture
async def client(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    async with connect(valkey.url) as client:
        yield client


async def test_facts_that_are_damaged_are_left_out(client: Redis) -> None:
    lineage = RedisLineage(client, _KEPT, lambda: NOON)
    await lineage.record(facts("a"))
    await client.xadd("as:{:lineage}:log", {"facts": b"damaged", "crc32": 1})
    await lineage.record(facts("b"))
    assert (await read_all(lineage))[0] == [facts("a"), facts("b")]


async def test_a_snapshot_that_is_damaged_is_said_to_be(client: Redis) -> None:
    lineage = RedisLineage(client, _KEPT, lambda: NOON)
    await lineage.record(facts("a"))
    await lineage.save(LineageGraph().state(NOON), (await read_all(lineage))[1])
    [part] = await client.keys("as:{:lineage}:part:*")
    await client.setrange(part, 10, "damaged")
    with pytest.raises(CorruptValue):
        await lineage.load()


async def test_parts_of_snapshots_that_are_replaced_go(client: Redis) -> None:
    lineage = RedisLineage(client, _KEPT, lambda: NOON)
    cursor = ""
    for number in range(3):
        await lineage.record(facts(f"k{number}"))
        _, cursor = await read_all(lineage, cursor)
        await lineage.save(LineageGraph().state(NOON), cursor)
    [part] = await client.keys("as:{:lineage}:part:*")
    assert await client.ttl(part) == -1


async def test_a_key_is_known_again_for_as_long_as_keys_are_kept(client: Redis) -> None:
    early = RedisLineage(client, _KEPT, lambda: NOON)
    late = RedisLineage(client, _KEPT, lambda: NOON + _KEPT + timedelta(hours=1))
    await early.record(facts("a"))
    assert not await early.record(facts("a"))
    await late.record(facts("b"))
    assert await late.record(facts("a"))
