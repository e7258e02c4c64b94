"""Lineage told to an aggregator, and questions asked of it, over gRPC."""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import grpc
import numpy as np
from redis.asyncio import Redis

from aftershock.v1 import lineage_service_pb2 as pb
from aftershock.v1.lineage_pb2 import LineageEdge
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub
from services.aggregator.adapters.lineage_messages import stamp
from services.aggregator.adapters.packed_events import pack_event
from services.aggregator.adapters.redis_checkpoints import RedisCheckpoints
from services.aggregator.adapters.redis_client import connect
from services.aggregator.adapters.redis_keys import ModelKeys
from services.aggregator.domain.calibration import Calibration
from services.aggregator.domain.checkpoint import Checkpoint, Feature, FeatureKind
from services.aggregator.domain.control import Control
from services.aggregator.domain.lineage.observations import Sighting
from services.aggregator.domain.shift import (
    AlertReason,
    Comparison,
    FeatureShift,
    RankBy,
    ShiftEvent,
)
from services.aggregator.domain.verdict import Verdict
from services.aggregator.domain.window import Interval, Window, WindowState
from services.chassis.channel import MESSAGE_OPTIONS
from tests.aggregator_process import Running
from tests.bench.lineage.world import (
    DATASETS,
    HOUR,
    JOBS,
    MODELS,
    NODES,
    NOON,
    PROVENANCE,
    SINCE,
    World,
)

if TYPE_CHECKING:
    from aftershock.v1.lineage_service_pb2_grpc import LineageServiceAsyncStub

Lineage: TypeAlias = "LineageServiceAsyncStub"
_TIMEOUT = 60.0
_RETENTION = 30 * 24 * HOUR
_MOST_SHIFTED = 10
_AT_ONCE = 5_000
_INDEXING = 3.0
"""Seconds for the keeper to index what was told; meanwhile questions are answered, more slowly."""
_WATCHED, _WINDOWS = 200, 24
"""Models that have windows, and windows of each; the other models are in the graph alone."""


@dataclass(frozen=True)
class Asking:
    """An aggregator that knows nothing yet, and what it is to be told and asked."""

    world: World
    url: str
    running: Running
    questions: int
    """Of each kind."""

    async def measured(self) -> dict[str, float]:
        """Return the figures by their names."""
        async with connect(self.url) as client:
            await _publish(client, self.world.sightings()[:_WATCHED])
        address = self.running.address
        async with grpc.aio.insecure_channel(address, options=MESSAGE_OPTIONS) as channel:
            stub: Lineage = LineageServiceStub(channel)
            figures = {"ingest_per_s": await self._ingest(stub)}
            await self._until_seen(stub)
            await asyncio.sleep(_INDEXING)
            trace = await self._times(lambda n: self._trace(stub, n))
            causes = await self._times(lambda n: self._causes(stub, n))
            blast = await self._times(lambda n: self._blast(stub, n))
        figures["trace_p50_ms"] = float(np.percentile(trace, 50))
        figures["trace_p99_ms"] = float(np.percentile(trace, 99))
        figures["common_p99_ms"] = float(np.percentile(causes, 99))
        figures["blast_p99_ms"] = float(np.percentile(blast, 99))
        figures["rss_mb"] = _resident_mib(self.running.process.pid)
        return figures

    async def _ingest(self, stub: Lineage) -> float:
        """Return edges a second, from the first request until a question sees the last."""
        requests = list(_requests(self.world))
        started = time.perf_counter()
        for request in requests:
            await stub.RegisterLineage(request, timeout=_TIMEOUT)
        await self._trace(stub, 0)
        return len(self.world.sources) / (time.perf_counter() - started)

    async def _until_seen(self, stub: Lineage) -> None:
        """Wait until the windows have been looked at, and the graph is indexed."""
        model = NODES - 2 * MODELS
        while True:
            told = await self._trace(stub, model)
            if told.origin_shift != 1:
                return

    async def _times(self, ask: Callable[[int], Awaitable[object]]) -> list[float]:
        """Return the milliseconds that each question took."""
        times = []
        origins = self.world.origins(self.questions // 5, seed=3)
        await ask(origins[0])
        for origin in origins:
            started = time.perf_counter()
            await ask(origin)
            times.append((time.perf_counter() - started) * 1000)
        return times

    async def _trace(self, stub: Lineage, node: int) -> pb.TracePropagationResponse:
        request = pb.TracePropagationRequest(
            node=str(self.world.nodes[node]),
            start_time=stamp(NOON - 24 * HOUR),
            end_time=stamp(NOON + HOUR),
            depth=6,
        )
        return await stub.TracePropagation(request, timeout=_TIMEOUT)

    async def _causes(self, stub: Lineage, node: int) -> pb.FindCommonCausesResponse:
        shifted = self._fed_by(node % JOBS)
        nodes = [str(self.world.nodes[number]) for number in shifted]
        request = pb.FindCommonCausesRequest(nodes=pb.ShiftedNodes(nodes=nodes, time=stamp(NOON)))
        return await stub.FindCommonCauses(request, timeout=_TIMEOUT)

    async def _blast(self, stub: Lineage, node: int) -> pb.GetBlastRadiusResponse:
        request = pb.GetBlastRadiusRequest(nodes=[str(self.world.nodes[node])])
        return await stub.GetBlastRadius(request, timeout=_TIMEOUT)

    def _fed_by(self, job: int) -> list[int]:
        """Return features that a job feeds by its first dataset."""
        sources, targets = self.world.sources, self.world.targets
        dataset = targets[(sources == job)][:1]
        assert JOBS <= dataset[0] < JOBS + DATASETS
        columns = targets[np.isin(sources, dataset)]
        features = np.unique(targets[np.isin(sources, columns[columns > JOBS + DATASETS])])
        names = [n for n in features.tolist() if str(self.world.nodes[n]).startswith("feature:")]
        return names[:_MOST_SHIFTED]


def _requests(world: World) -> Iterator[pb.RegisterLineageRequest]:
    """Return the edges in portions that a request holds."""
    nodes = [str(node) for node in world.nodes]
    ends = world.sources.tolist(), world.targets.tolist(), world.strengths.tolist()
    edges = [
        LineageEdge(source=nodes[source], target=nodes[target], strength=strength)
        for source, target, strength in zip(*ends, strict=True)
    ]
    for start in range(0, len(edges), _AT_ONCE):
        yield pb.RegisterLineageRequest(
            request_id=f"bulk-{start}",
            provenance=PROVENANCE,
            time=stamp(SINCE),
            edges=edges[start : start + _AT_ONCE],
        )


async def _publish(client: Redis, sightings: Sequence[Sighting]) -> None:
    """Put the events of windows, and of quiet ones before them, on their models' streams, as if
    they had been judged."""
    checkpoints = RedisCheckpoints(client, _RETENTION)
    for sighting in sightings:
        features = [Feature(name, FeatureKind.NUMERIC) for name in sighting.features]
        digest = f"{zlib.crc32(sighting.model.encode()):064x}"
        await checkpoints.register(Checkpoint(sighting.model, "v1", digest, SINCE, tuple(features)))
        async with client.pipeline(transaction=False) as commands:
            for hours in range(_WINDOWS - 1, -1, -1):
                payload = pack_event(_event(_before(sighting, hours), features, digest))
                key = ModelKeys(sighting.model).shifts
                commands.xadd(key, {"event": payload, "crc32": zlib.crc32(payload)})
            await commands.execute()


def _before(sighting: Sighting, hours: int) -> Sighting:
    if not hours:
        return sighting
    start, end = sighting.start - hours * HOUR, sighting.end - hours * HOUR
    return replace(sighting, start=start, end=end, shift=0.0, has_moved=False, moves=())


def _event(sighting: Sighting, features: list[Feature], digest: str) -> ShiftEvent:
    ratio = float(np.exp(sighting.shift))
    calibration = Calibration(ratio, ratio, ratio, 1000.0, 1000, sighting.has_moved)
    window = Window(
        model=sighting.model,
        interval=Interval(sighting.start, sighting.end),
        state=WindowState.CLOSED,
        digest=digest,
        method=None,
        considered_count=5000,
        displayed_count=5000,
        calibration=calibration,
    )
    if not sighting.has_moved:
        return ShiftEvent(window, None, sighting.end)
    by_name = {feature.name: feature for feature in features}
    shifts = [_shift(by_name[move.feature], move.shift) for move in sighting.moves]
    comparison = Comparison(
        control=Control(window, selection=None, note=""),
        anomaly=window,
        verdict=Verdict.FEATURE_CORRUPTION,
        feature_count=len(features),
        significant_count=len(shifts),
        shifts=shifts,
        history_count=0,
        rank_by=RankBy.EVIDENCE,
    )
    return ShiftEvent(window, comparison, sighting.end, AlertReason.CALIBRATION)


def _shift(feature: Feature, shift: float) -> FeatureShift:
    return FeatureShift(
        feature=feature,
        rank=1,
        shift=0.01 * shift,
        control_gfi=0.01,
        anomaly_gfi=0.01 * (1 + shift),
        control_coverage=1.0,
        anomaly_coverage=1.0,
        control_rank=1,
        anomaly_rank=1,
        lower=0.0,
        upper=0.0,
        z=9.0,
        significant=True,
        score=9.0,
        evidence=[],
        shift_rank=1,
    )


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
