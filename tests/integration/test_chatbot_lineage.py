"""What the bot learns from lineage, over the real aggregator."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from aftershock import aio
from aftershock.v1.lineage_pb2 import LineageEdge, LineageNode
from aftershock.v1.lineage_service_pb2 import RegisterLineageRequest
from clients.chatbot.adapters.sdk_lineage import SdkLineage
from clients.chatbot.core.describe import card_of
from clients.chatbot.core.surroundings import NOTHING_AROUND
from clients.chatbot.core.text import plain
from tests.unit.clients.chatbot.incidents import START, incident
from tests.unit.services.aggregator.served import serving
from tests.valkey import ValkeyServer

JOB = "job:airflow:emb_encode_job"


@pytest.fixture
async def client(valkey: ValkeyServer) -> AsyncIterator[aio.Client]:
    async with serving(valkey.url) as address, aio.Client(aggregator=address) as connected:
        yield connected


async def tell(client: aio.Client) -> None:
    node = "feature:user_embedding_v3"
    edge = LineageEdge(source=JOB, target=node)
    nodes = [LineageNode(node=JOB), LineageNode(node=node)]
    told = RegisterLineageRequest(request_id="1", provenance="test", nodes=nodes, edges=[edge])
    told.time.FromDatetime(START - timedelta(days=7))
    await client.register_lineage(told)
    for minutes, kind, summary in (
        (-13, "deploy", "version 7"),
        (-3000, "deploy", "version 6"),
        (300, "failed-run", "later"),
        (-5, "flag-flip", "by the runbook"),
    ):
        time = START + timedelta(minutes=minutes)
        await client.record_event(kind, JOB, summary, time=time, actor="platform team")
    await client.record_event("deploy", "job:airflow:other", "elsewhere", time=START)


async def test_what_happened_upstream_is_told(client: aio.Client) -> None:
    await tell(client)
    known = await SdkLineage(client).around(incident())
    assert [each.summary for each in known.happenings] == ["version 7"]
    lines = [plain(line) for s in card_of(incident(), known).sections for line in s.lines]
    assert (
        "Upstream, shortly before: job:airflow:emb_encode_job · 22 Nov 01:47 UTC · version 7 "
        "by platform team"
    ) in lines


async def test_without_lineage_there_is_nothing_to_tell(client: aio.Client) -> None:
    assert (await SdkLineage(client).around(incident())).happenings == ()
    assert await SdkLineage(client).around(incident(features=[])) == NOTHING_AROUND


async def test_what_was_known_stays_while_the_aggregator_is_away(valkey: ValkeyServer) -> None:
    async with serving(valkey.url) as address:
        client = aio.Client(aggregator=address, timeout=2.0)
        await tell(client)
        asked = SdkLineage(client)
        known = await asked.around(incident())
    assert known.happenings
    assert await asked.around(incident()) == known
    assert await SdkLineage(client).around(incident()) == NOTHING_AROUND
    await client.close()
