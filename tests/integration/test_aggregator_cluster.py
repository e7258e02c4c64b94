"""The aggregator on a cluster of real Valkeys: models spread, watchers see all, primaries die."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

import grpc

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.importance_pb2 import LfiBlock
from tests.unit.services.aggregator.served import (
    TIMEOUT,
    Client,
    block_message,
    ingest,
    served,
    timestamp,
)
from tests.unit.services.aggregator.worlds import HOUR, MODEL, NOON, block, checkpoint, lfis
from tests.valkey_cluster import ValkeyCluster, start_cluster

MODELS = [f"model_{number}" for number in range(12)]
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_FAILOVER_SECONDS = 30.0


async def test_models_spread_over_the_nodes_and_a_watcher_sees_all(
    valkey_cluster: ValkeyCluster,
) -> None:
    assert {valkey_cluster.owner(f"as:{{{model}}}:meta") for model in MODELS} == {0, 1, 2}
    async with served(valkey_cluster.url) as stub:
        for model in MODELS:
            made = replace(block(lfis(1)), model=model)
            await ingest(stub, [block_message(made)], replace(checkpoint(), model=model))
            await stub.ReportOutcomes(
                pb.ReportOutcomesRequest(
                    model=f"models/{model}",
                    request_id="r",
                    start_time=timestamp(NOON),
                    end_time=timestamp(NOON + HOUR),
                    expected=1000.0,
                    observed=1000,
                ),
                timeout=TIMEOUT,
            )
        told = set[str]()
        call = stub.WatchShifts(pb.WatchShiftsRequest(), timeout=TIMEOUT)
        async for response in call:
            told.add(response.event.window.name.split("/")[1])
            if told == set(MODELS):
                break
        call.cancel()
        listed = await stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)
        assert [model.name for model in listed.models] == sorted(f"models/{m}" for m in MODELS)


async def insist(stub: Client, message: LfiBlock) -> pb.IngestLfiResponse:
    """Send until there is a receipt."""
    deadline = time.monotonic() + _FAILOVER_SECONDS
    while True:
        answers: Sequence[pb.IngestLfiResponse] = ()
        try:
            answers = await ingest(stub, [message])
        except grpc.aio.AioRpcError as error:
            if error.code() not in PASSING:
                raise
        for answer in answers:
            if answer.HasField("receipt"):
                return answer
            assert answer.error.code in [code.value[0] for code in PASSING], answer.error
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_replica_takes_over_with_all_that_was_acknowledged() -> None:
    with start_cluster(replicas=True) as cluster:
        async with served(cluster.url, acknowledge_replicas=1) as stub:
            for number in range(10):
                await insist(stub, block_message(block(lfis(number, 50), f"b{number}")))
            os.kill(cluster.nodes[cluster.owner(f"as:{{{MODEL}}}:meta")].pid, signal.SIGKILL)
        # What was acknowledged is there; the other half is refused until somebody has two copies.
        async with served(
            cluster.url.replace(str(cluster.ports[0]), str(cluster.ports[3]))
        ) as stub:
            for number in range(20):
                made = block(lfis(number, 50), f"b{number}")
                answer = await insist(stub, block_message(made))
                assert answer.receipt.duplicate == (number < 10)
            (model,) = (await stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)).models
            assert model.latest_window.considered_count == 20 * 50
