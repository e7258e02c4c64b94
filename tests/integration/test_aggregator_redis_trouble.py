"""Damaged values, a full, a read-only and an absent server: nothing acknowledged is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
import redis
from prometheus_client import REGISTRY

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceStub
from services.aggregator.adapters.redis_checkpoints import RedisCheckpoints
from services.aggregator.adapters.redis_client import connect
from services.aggregator.adapters.redis_state import StateMeter
from services.chassis.channel import MAX_MESSAGE_BYTES
from services.chassis.errors import DependencyUnavailable, Overloaded
from tests.unit.services.aggregator.redis_store import RedisStore
from tests.unit.services.aggregator.served import (
    NAME,
    TIMEOUT,
    Client,
    block_message,
    hour_of_blocks,
    ingest,
    refusal,
    refused,
    report,
    served,
    serving,
    store_hour,
    watched,
)
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    block,
    checkpoint,
    hour_of,
    hours,
    lfis,
)
from tests.valkey import ValkeyServer, start_valkey

WINDOW_KEY = f"as:{{{MODEL}}}:window:20261120T120000Z"
PANES_KEY = f"as:{{{MODEL}}}:panes"
NOON_NAME = f"{NAME}/windows/20261120T120000Z"


@pytest.fixture
async def stub(valkey: ValkeyServer) -> AsyncIterator[Client]:
    async with served(valkey.url) as stub:
        yield stub


@pytest.fixture
def behind(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    with valkey.connect() as client:
        yield client


def flip(value: bytes) -> bytes:
    """The value with its last byte changed."""
    return value[:-1] + bytes([value[-1] ^ 1])


def damage(client: redis.Redis, key: str) -> None:
    value: Any = client.get(key)
    client.set(key, flip(value))


def damage_pane(client: redis.Redis) -> None:
    """Change one byte of the considered block's pane."""
    name = f"20261120T120000Z:{NOON.isoformat()}-considered"
    value: Any = client.hget(PANES_KEY, name)
    client.hset(PANES_KEY, name, flip(value))


async def test_everything_expires(stub: Client, behind: redis.Redis) -> None:
    for number, start in enumerate(hours(3)):
        await store_hour(stub, start, number, observed=600 if number == 2 else 1000)
    made = block(lfis(7), "with a sample", event_time=NOON, arrow_stream=b"arrow")
    await ingest(stub, [block_message(made)])
    await watched(stub, 3)
    keys = sorted(behind.keys())
    lasting = [key for key in keys if behind.ttl(key) < 0]
    assert lasting == [b"as:models"]
    assert len(keys) > 15


async def test_everything_of_a_model_expires_by_its_own_retention(
    stub: Client, behind: redis.Redis
) -> None:
    await ingest(stub, [])
    request = pb.SetModelRulesRequest(model=NAME)
    request.rules.retention.seconds = 20 * 86_400
    await stub.SetModelRules(request, timeout=TIMEOUT)
    for number, start in enumerate(hours(2)):
        await store_hour(stub, start, number)
    await watched(stub, 2)
    await ingest(stub, hour_of_blocks(NOON, 9))
    found: Any = behind.keys(f"as:{{{MODEL}}}:*")
    lives: list[Any] = [behind.ttl(key) for key in found if not key.endswith(b":lease")]
    assert min(lives) > 19 * 86_400


async def test_the_name_of_a_model_goes_with_what_is_kept_of_it(
    stub: Client, behind: redis.Redis
) -> None:
    await store_hour(stub, NOON, 1)
    for key in behind.keys(f"as:{{{MODEL}}}:*"):
        behind.delete(key)
    assert not (await stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)).models
    # What became known of it stays in the timeline, as long as that is kept; and a sweep that was
    # under way may have taken its lease again, which lapses by itself.
    left: Any = behind.keys()
    lease = f"as:{{{MODEL}}}:lease".encode()
    assert [key for key in left if not key.startswith(b"as:{:timeline}")] in ([], [lease])


async def test_a_damaged_pane_is_left_out_and_its_window_closes(
    stub: Client, behind: redis.Redis
) -> None:
    await ingest(stub, hour_of_blocks(NOON, 1))
    damage_pane(behind)
    await report(stub, NOON)
    await watched(stub, 1)
    answer = await stub.GetGfi(pb.GetGfiRequest(window=NOON_NAME), timeout=TIMEOUT)
    assert [round(importance.coverage, 1) for importance in answer.importances] == [0.8] * 3


async def test_a_window_of_damaged_panes_alone_closes_and_is_said_to_be_damaged(
    stub: Client, behind: redis.Redis
) -> None:
    await ingest(stub, hour_of_blocks(NOON, 1)[:1])
    damage_pane(behind)
    await report(stub, NOON)
    await watched(stub, 1)
    call = stub.GetGfi(pb.GetGfiRequest(window=NOON_NAME), timeout=TIMEOUT)
    assert (await refused(call)).code == grpc.StatusCode.DATA_LOSS
    await store_hour(stub, NOON + HOUR, 2, observed=600)
    _, event = await watched(stub, 2)
    assert not event.HasField("comparison")


async def test_a_damaged_summary_is_said_to_be(stub: Client, behind: redis.Redis) -> None:
    for number, start in enumerate((NOON - HOUR, NOON)):
        await store_hour(stub, start, number)
    await watched(stub, 2)
    damage(behind, f"{WINDOW_KEY}:summary")
    for call in (
        stub.GetGfi(pb.GetGfiRequest(window=NOON_NAME), timeout=TIMEOUT),
        stub.CompareWindows(pb.CompareWindowsRequest(anomaly=NOON_NAME), timeout=TIMEOUT),
    ):
        assert (await refused(call)).code == grpc.StatusCode.DATA_LOSS


async def test_an_anomaly_with_a_damaged_control_is_told_without_comparison(
    stub: Client, behind: redis.Redis
) -> None:
    await store_hour(stub, NOON, 1)
    await watched(stub, 1)
    damage(behind, f"{WINDOW_KEY}:summary")
    await store_hour(stub, NOON + HOUR, 2, observed=600)
    _, event = await watched(stub, 2)
    assert event.window.calibration.anomalous
    assert not event.HasField("comparison")


async def test_a_damaged_event_is_left_out(stub: Client, behind: redis.Redis) -> None:
    shifts = f"as:{{{MODEL}}}:shifts"
    await store_hour(stub, NOON, 1)
    await watched(stub, 1)
    behind.xadd(shifts, {"event": b"damaged", "crc32": b"1"})
    await store_hour(stub, NOON + HOUR, 2)
    events = await watched(stub, 2)
    assert [event.window.name[-16:] for event in events] == [
        "20261120T120000Z",
        "20261120T130000Z",
    ]


async def test_a_damaged_checkpoint_is_registered_anew(stub: Client, behind: redis.Redis) -> None:
    await ingest(stub, [block_message(block(lfis(1)))])
    damage(behind, f"as:{{{MODEL}}}:checkpoint:{checkpoint().digest}")
    await ingest(stub, [block_message(block(lfis(2), "b2"))])
    (model,) = (await stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)).models
    assert len(model.checkpoint.features) == 3


async def test_a_server_that_forgot_everything_asks_for_the_checkpoint(
    stub: Client, behind: redis.Redis
) -> None:
    await ingest(stub, [block_message(block(lfis(1)))])
    behind.flushall()
    requests = [pb.IngestLfiRequest(block=block_message(block(lfis(1))))]
    (answer,) = [a async for a in stub.IngestLfi(iter(requests), timeout=TIMEOUT)]
    assert refusal(answer.error).reason == "CHECKPOINT_NOT_FOUND"
    (answer,) = await ingest(stub, [block_message(block(lfis(1)))])
    assert answer.HasField("receipt")


async def test_a_full_server_is_an_overload_that_loses_nothing(
    stub: Client, behind: redis.Redis
) -> None:
    await ingest(stub, hour_of_blocks(NOON, 1))
    behind.config_set("maxmemory", "1")
    try:
        late = pb.IngestLfiRequest(block=block_message(block(lfis(9), "b9")))
        (answer,) = [a async for a in stub.IngestLfi(iter([late]), timeout=TIMEOUT)]
        seen = refusal(answer.error)
        assert (seen.code, seen.reason, seen.retry_seconds) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "OVERLOADED",
            1.0,
        )
        assert (await refused(report(stub, NOON))).reason == "OVERLOADED"
        # An open window is read all the same.
        answered = await stub.GetGfi(pb.GetGfiRequest(window=NOON_NAME), timeout=TIMEOUT)
        assert len(answered.importances) == 3
    finally:
        behind.config_set("maxmemory", "0")
    (answer,) = await ingest(stub, [late.block])
    assert not answer.receipt.duplicate
    reported = await report(stub, NOON)
    assert not reported.duplicate
    assert (reported.window.considered_count, reported.window.displayed_count) == (2000, 1000)


async def test_a_paused_server_takes_the_block_once_it_goes_on(
    stub: Client, behind: redis.Redis
) -> None:
    await ingest(stub, hour_of_blocks(NOON, 1))
    behind.client_pause(500, all=False)
    (answer,) = await ingest(stub, [block_message(block(lfis(9), "b9"))])
    assert answer.HasField("receipt")
    assert not answer.receipt.duplicate
    (again,) = await ingest(stub, [block_message(block(lfis(9), "b9"))])
    assert again.receipt.duplicate


async def test_blocks_over_the_limits_are_refused_and_leave_nothing(
    stub: Client, behind: redis.Redis
) -> None:
    await ingest(stub, [])
    long_sample, other_features = (block_message(block(lfis(1))) for _ in range(2))
    long_sample.arrow_stream = bytes(4_194_305)
    other_features.CopyFrom(block_message(block(lfis(1, scales=[1.0]))))
    answers = await ingest(stub, [long_sample, other_features])
    seen = [refusal(answer.error) for answer in answers]
    assert [(each.code, each.reason, each.fields) for each in seen] == [
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", ["block.arrow_stream"]),
        (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_BLOCK", ["block.feature_offsets"]),
    ]
    assert not behind.exists(PANES_KEY)
    (model,) = (await stub.ListModels(pb.ListModelsRequest(), timeout=TIMEOUT)).models
    assert (model.block_count, model.refused_block_count) == (0, 1)


async def test_a_message_over_the_limit_ends_its_stream_and_leaves_nothing(
    valkey: ValkeyServer, behind: redis.Redis
) -> None:
    unlimited = [("grpc.max_send_message_length", -1)]
    huge = block_message(block(lfis(1)))
    huge.values.data = bytes(MAX_MESSAGE_BYTES)
    async with (
        serving(valkey.url) as address,
        grpc.aio.insecure_channel(address, options=unlimited) as channel,
    ):
        call = AggregatorServiceStub(channel).IngestLfi(timeout=TIMEOUT)
        await call.write(pb.IngestLfiRequest(block=huge))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not behind.exists(PANES_KEY)


async def test_the_metrics_tell_what_a_model_takes(stub: Client, valkey: ValkeyServer) -> None:
    for number, start in enumerate(hours(2)):
        await store_hour(stub, start, number)
    await watched(stub, 2)
    made = block(lfis(7), "with a sample", event_time=NOON, arrow_stream=bytes(5000))
    await ingest(stub, [block_message(made)])
    async with connect(valkey.url) as client:
        meter = StateMeter(client, RedisCheckpoints(client, HOUR), interval_seconds=60)
        await meter.weigh_all()

        def told(kind: str) -> float | None:
            return REGISTRY.get_sample_value(
                "aftershock_state_bytes", {"model": MODEL, "kind": kind}
            )

        def of_window(state: str) -> float | None:
            return REGISTRY.get_sample_value(
                "aftershock_window_bytes", {"model": MODEL, "state": state}
            )

        windows = REGISTRY.get_sample_value("aftershock_kept_windows", {"model": MODEL})
        weights = {kind: told(kind) for kind in ("panes", "summaries", "samples")}
        of_one = {state: of_window(state) for state in ("open", "closed")}
        summary = await client.strlen(f"as:{{{MODEL}}}:window:20261120T110000Z:summary")
        pane = await client.hstrlen(PANES_KEY, "20261120T120000Z:with a sample")
        await client.flushall()
        await meter.weigh_all()
    assert of_one == {"open": pane, "closed": summary}
    assert of_window("open") is None
    assert windows == 3
    assert weights["summaries"] is not None
    assert weights["panes"] is not None
    assert weights["samples"] is not None
    assert weights["panes"] > 2 * 2 * 1000 * 3 * 0.7
    assert weights["summaries"] > 2 * 24 * 3
    assert weights["samples"] > 5000
    assert told("panes") is None


async def test_a_read_only_server_is_unavailable(stub: Client, behind: redis.Redis) -> None:
    await ingest(stub, hour_of_blocks(NOON, 1))
    behind.config_set("min-replicas-to-write", "1")
    try:
        assert (await refused(report(stub, NOON))).code == grpc.StatusCode.UNAVAILABLE
    finally:
        behind.config_set("min-replicas-to-write", "0")
    assert not (await report(stub, NOON)).duplicate


async def test_an_absent_server_is_unavailable_and_its_return_is_noticed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("v")
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with ExitStack() as first, ExitStack() as second:
        server = first.enter_context(start_valkey(*options, folder=folder))
        async with served(server.url) as stub:
            await store_hour(stub, NOON, 1)
            (event,) = await watched(stub, 1)
            os.kill(server.pid, signal.SIGKILL)
            seen = await refused(report(stub, NOON + HOUR))
            assert (seen.code, seen.reason, seen.retry_seconds) == (
                grpc.StatusCode.UNAVAILABLE,
                "DEPENDENCY_UNAVAILABLE",
                1.0,
            )
            second.enter_context(start_valkey(*options, folder=folder))
            assert await watched(stub, 1) == [event]
            await store_hour(stub, NOON + HOUR, 2)
            assert len(await watched(stub, 1, event.cursor)) == 1


async def test_connections_that_break_in_mid_stream_count_nothing_twice(
    valkey: ValkeyServer, behind: redis.Redis
) -> None:
    """Every connection is killed again and again while blocks go in."""
    async with connect(valkey.url) as client:
        store = RedisStore(client)
        await store.checkpoints.register(checkpoint())
        done = asyncio.Event()

        async def break_connections() -> None:
            while not done.is_set():
                await asyncio.to_thread(behind.client_kill_filter, _type="normal", skipme=True)
                await asyncio.sleep(0.005)

        breaking = asyncio.create_task(break_connections())
        for number in range(30):
            made = block(lfis(number, 50), f"b{number}")
            while True:
                try:
                    await store.intake.append(made, hour_of(NOON))
                    break
                except (DependencyUnavailable, Overloaded):
                    await asyncio.sleep(0.01)
        done.set()
        await breaking
        window = await store.windows.window(MODEL, NOON)
        assert window.considered_count == 30 * 50
        assert len(await store.windows.panes(window)) == 30
