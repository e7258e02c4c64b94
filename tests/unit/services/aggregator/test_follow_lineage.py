"""The graph that a replica keeps at hand, over a log in memory."""

from datetime import timedelta

from services.aggregator.adapters.memory_lineage import MemoryLineage
from services.aggregator.adapters.memory_timeline import MemoryTimeline
from services.aggregator.domain.lineage.facts import Edge, EventKind, LineageFacts, TimelineEvent
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.follow_lineage import FollowLineage
from services.aggregator.lineage_ports import EventQuery
from services.aggregator.look_around import LookUpstream
from services.aggregator.record_lineage import RecordLineage
from tests.unit.services.aggregator.domain.lineage.worlds import DAY, HOUR, dataset, told
from tests.unit.services.aggregator.worlds import RULES

_ENOUGH_FOR_A_SNAPSHOT = 2_001
_ENOUGH_FOR_AN_INDEX = 20_001


def replica(lineage: MemoryLineage) -> FollowLineage:
    return FollowLineage(lineage, lineage, RULES.retention, lambda: DAY + HOUR)


def edge(number: int) -> LineageFacts:
    return told([Edge(dataset(number), dataset(number + 1))], key=f"k{number}")


async def edges(follow: FollowLineage) -> int:
    def count(graph: LineageGraph) -> int:
        return graph.edges.count

    return await follow(count)


async def test_a_replica_sees_what_was_recorded_before_it_was_asked() -> None:
    lineage = MemoryLineage()
    first, second = replica(lineage), replica(lineage)
    for number in range(3):
        await lineage.record(edge(number))
        assert await edges(first) == number + 1
    assert await edges(second) == 3


async def test_a_snapshot_is_kept_once_much_has_come_and_a_new_replica_begins_with_it() -> None:
    lineage = MemoryLineage()
    first = replica(lineage)
    for number in range(_ENOUGH_FOR_A_SNAPSHOT):
        await lineage.record(edge(number))
    await first.tend()
    assert lineage.snapshot is not None
    assert lineage.facts[:_ENOUGH_FOR_A_SNAPSHOT] == [None] * _ENOUGH_FOR_A_SNAPSHOT
    await lineage.record(edge(9_999))
    assert await edges(replica(lineage)) == await edges(first) == _ENOUGH_FOR_A_SNAPSHOT + 1
    await first.tend()
    assert lineage.snapshot[1] == str(_ENOUGH_FOR_A_SNAPSHOT)


async def test_a_replica_that_lags_behind_the_log_begins_anew() -> None:
    lineage = MemoryLineage()
    lagging, other = replica(lineage), replica(lineage)
    await lineage.record(edge(0))
    assert await edges(lagging) == 1
    for number in range(1, _ENOUGH_FOR_A_SNAPSHOT):
        await lineage.record(edge(number))
    await other.tend()
    assert await edges(lagging) == _ENOUGH_FOR_A_SNAPSHOT


async def test_edges_that_came_lately_are_indexed_once_they_are_many() -> None:
    lineage = MemoryLineage()
    follow = replica(lineage)
    many = [Edge(dataset(n), dataset(n + 1)) for n in range(_ENOUGH_FOR_AN_INDEX)]
    await lineage.record(told(many))
    assert await follow(lambda graph: graph.needs_index)
    await follow.tend()
    assert not await follow(lambda graph: graph.needs_index)
    upstream = await LookUpstream(follow)([dataset(7)], 2, DAY + HOUR)
    assert upstream == {dataset(7): 0, dataset(6): 1, dataset(5): 2}


async def test_what_nobody_knows_is_upstream_of_itself_alone() -> None:
    unknown = NodeId(dataset(0).kind, "lake", "nobody")
    upstream = await LookUpstream(replica(MemoryLineage()))([unknown], 3, DAY)
    assert upstream == {unknown: 0}


async def test_events_are_on_the_timeline_before_the_facts_are_in_the_log() -> None:
    lineage = MemoryLineage()
    timeline = MemoryTimeline(timedelta(days=8), lambda: DAY)
    event = TimelineEvent("e", dataset(0), EventKind.DEPLOY, DAY, "deployed")
    facts = LineageFacts("k", "me", DAY, events=[event])
    record = RecordLineage(lineage, timeline)
    assert await record(facts)
    assert not await record(facts)
    assert list(await timeline.events(EventQuery(None), 10)) == [event]
