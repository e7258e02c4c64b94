"""What attribution does with more work or more checkpoints than it takes on, over real gRPC."""

import asyncio
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from aftershock.v1 import attribution_service_pb2 as pb
from services.attribution.adapters.grpc_lfi_stream import Decoded
from services.attribution.domain.ablation import Ablations
from services.attribution.domain.block import Batch, LfiBlock
from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.compilation import Explanation
from services.attribution.domain.example import Examples
from services.attribution.ports import Ablator, Predictor
from tests.checkpoints import SCHEMA, Manifest, small_checkpoint
from tests.unit.services.attribution.predictors import plain
from tests.unit.services.attribution.serving import (
    EXAMPLES,
    NAME,
    ServedAttribution,
    Stub,
    answers,
    batch,
    failure,
    options,
    reason,
)


@dataclass
class Gate:
    """Ablators that begin a block only when the gate is open."""

    begun: list[int] = field(default_factory=list)
    reached: Event = field(default_factory=Event)
    is_open: Event = field(default_factory=Event)

    def __call__(self, predictor: Predictor) -> Ablator:
        return Gated(self, plain(predictor))


@dataclass(frozen=True)
class Gated:
    gate: Gate
    inner: Ablator

    @property
    def checkpoint(self) -> Checkpoint:
        return self.inner.checkpoint

    @property
    def explanation(self) -> Explanation:
        return self.inner.explanation

    def ablate(self, examples: Examples, features: NDArray[np.bool_] | None = None) -> Ablations:
        self.gate.begun.append(examples.count)
        self.gate.reached.set()
        assert self.gate.is_open.wait(60)
        return self.inner.ablate(examples, features)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


def retry_seconds(status: Status) -> float:
    for detail in status.details:
        info = RetryInfo()
        if detail.Unpack(info):
            return float(info.retry_delay.ToTimedelta().total_seconds())
    return 0.0


async def streaming(stub: Stub, requests: Sequence[pb.ComputeLfiRequest]) -> Any:
    call = stub.ComputeLfi()
    for request in requests:
        await call.write(request)
    return call


async def test_a_cancelled_stream_stops_within_a_block(tmp_path: Path) -> None:
    gate = Gate()
    async with ServedAttribution(tmp_path, None, ablators=gate) as stub:
        call = await streaming(stub, [options(), batch("a"), batch("b")])
        await until(gate.reached.is_set)
        call.cancel()
        await until(lambda: sample("aftershock_batches_waiting") == 0)
        gate.is_open.set()
        response = (await answers(stub, [options(), batch("c", EXAMPLES.take(np.arange(5)))]))[0]
    assert response.block.example_count == 5
    assert gate.begun == [16, 5]


async def test_more_than_may_wait_is_told_to_come_back(tmp_path: Path) -> None:
    gate = Gate()
    overloaded = sample("aftershock_batches_total", result="overloaded")
    async with ServedAttribution(tmp_path, None, most_waiting=1, ablators=gate) as stub:
        first = await streaming(stub, [options(), batch("a"), batch("b")])
        await until(lambda: sample("aftershock_batches_waiting") == 2)
        (refused,) = await answers(stub, [options(), batch("c")])
        assert refused.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert reason(refused.error) == "OVERLOADED"
        assert retry_seconds(refused.error) > 0
        assert "another replica" in refused.error.message
        gate.is_open.set()
        await first.done_writing()
        assert [response.batch_id async for response in first] == ["a", "b"]
        (taken,) = await answers(stub, [options(), batch("c")])
        assert taken.HasField("block")
    assert sample("aftershock_batches_total", result="overloaded") == overloaded + 1


async def test_blocks_make_up_the_batch(tmp_path: Path) -> None:
    async with ServedAttribution(tmp_path, None) as stub:
        (whole,) = await answers(stub, [options(), batch("a")])
        rows = [EXAMPLES.take(np.array([row])) for row in range(EXAMPLES.count)]
        single = await answers(stub, [options(), *(batch(str(i), e) for i, e in enumerate(rows))])
    counts = np.frombuffer(whole.block.feature_offsets.data, "<u4")
    assert counts[-1] == sum(np.frombuffer(r.block.feature_offsets.data, "<u4")[-1] for r in single)
    predictions = b"".join(r.block.predictions.data for r in single)
    assert whole.block.predictions.data == predictions


async def test_pairs_and_batches_are_counted(tmp_path: Path) -> None:
    def pairs() -> list[float]:
        ways = ("skipped", "fallback", "delta")
        return [sample("aftershock_pairs_total", way=way) for way in ways]

    before, refused = pairs(), sample("aftershock_batches_total", result="refused")
    attributed = sample("aftershock_batches_total", result="attributed")
    async with ServedAttribution(tmp_path, None) as stub:
        await answers(stub, [options(), batch("a"), batch("b", b"nonsense")])
    skipped, fallback, delta = np.subtract(pairs(), before)
    present = sum(EXAMPLES.present(feature).sum() for feature in SCHEMA.features)
    assert (fallback, delta) == (present, 0)
    assert skipped + fallback == EXAMPLES.count * len(SCHEMA.features)
    assert sample("aftershock_batches_total", result="refused") == refused + 1
    assert sample("aftershock_batches_total", result="attributed") == attributed + 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_checkpoint(tmp_path / "sum", "sum", Manifest(version="2"))


def size_of(folder: Path) -> int:
    """Bytes that the checkpoint counts as."""
    return 2 * (folder / "model.pt2").stat().st_size


async def load(stub: Stub, folder: Path) -> None:
    await stub.LoadCheckpoint(pb.LoadCheckpointRequest(folder=str(folder)), timeout=60)


async def names(stub: Stub) -> list[str]:
    listed = await stub.ListCheckpoints(pb.ListCheckpointsRequest(), timeout=10)
    return [checkpoint.name for checkpoint in listed.checkpoints]


async def test_what_is_idle_gives_way_and_says_so(tmp_path: Path, folder: Path) -> None:
    async with ServedAttribution(tmp_path, None, budget=size_of(folder)) as stub:
        await load(stub, folder)
        assert await names(stub) == ["models/ads_ctr/checkpoints/2"]
        with pytest.raises(grpc.aio.AioRpcError, match="give way") as caught:
            await answers(stub, [options(checkpoint=NAME), batch("a")])
        assert reason(failure(caught.value)) == "CHECKPOINT_NOT_FOUND"


async def test_what_is_in_use_stays(tmp_path: Path, folder: Path) -> None:
    async with ServedAttribution(tmp_path, None, budget=size_of(folder)) as stub:
        call = await streaming(stub, [options(), batch("a")])
        assert (await call.read()).HasField("block")
        with pytest.raises(grpc.aio.AioRpcError, match="in use") as caught:
            await load(stub, folder)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retry_seconds(failure(caught.value)) > 0
        # Forgotten, it still takes its memory for as long as the stream lasts.
        await stub.UnloadCheckpoint(pb.UnloadCheckpointRequest(name=NAME), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError, match="in use"):
            await load(stub, folder)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        await load(stub, folder)
        assert await names(stub) == ["models/ads_ctr/checkpoints/2"]


async def test_what_is_larger_than_the_budget_is_refused(tmp_path: Path, folder: Path) -> None:
    async with ServedAttribution(tmp_path, None, budget=size_of(folder) - 1) as stub:
        with pytest.raises(grpc.aio.AioRpcError, match="checkpoint_memory_bytes") as caught:
            await load(stub, folder)
        assert reason(failure(caught.value)) == "CHECKPOINT_REFUSED"
        assert await names(stub) == [NAME]


def live_batches() -> int:
    """Return how many batches this process holds, in whatever state."""
    return sum(type(thing) in {Batch, Decoded, LfiBlock} for thing in gc.get_objects())


async def test_a_long_stream_holds_no_more_than_a_short_one(tmp_path: Path) -> None:
    before = live_batches()
    async with ServedAttribution(tmp_path, None) as stub:
        requests = [options(), *(batch(str(i), EXAMPLES.part(0, 8)) for i in range(60))]
        held = [
            live_batches() - before
            async for response in stub.ComputeLfi(iter(requests))
            if response.batch_id.endswith("9")
        ]
    assert len(held) == 6
    # Three are under way, each as a batch, decoded or as a block; one has just been answered.
    assert max(held) <= 3 * 4
