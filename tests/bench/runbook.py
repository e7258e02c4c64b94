"""How soon the runbook proposes and acts, and what its guard costs a model server.

- Proposal: from a shift event that the aggregator publishes to the proposal in a watcher's hands,
  without inference.
- Flip: from the expert's yes to the changed flag in each of 100 subscribers' hands.
- Guard: one feature's question to `KillSwitchGuard`, and its share of an `apply`, while nothing is
  killed; the larger of the two.

    python -m tests.bench.runbook [--quick]
"""

import argparse
import asyncio
import json
import tempfile
import time
import timeit
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np

from aftershock.serving import KillSwitchGuard
from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.flag_sync_pb2 import FlagSyncRequest, FlagSyncResponse
from aftershock.v1.incident_pb2 import Mitigation
from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceStub
from tests.unit.services.runbook.builders import BROKEN, event
from tests.unit.services.runbook.replicas import Replica
from tests.unit.services.runbook.stand_ins import Aggregator, an_aggregator, event_message, serving

if TYPE_CHECKING:
    from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceAsyncStub as Stub

SUBSCRIBERS = 100
FEATURES = 100
TIMEOUT = 30.0
_CALLS = 20_000
_EXPERT_SECONDS = 0.1


def main() -> None:
    """Measure and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="within 45 s")
    incidents = 40 if parser.parse_args().quick else 200
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(_measured(Path(folder), incidents))))


async def _measured(folder: Path, incidents: int) -> dict[str, float]:
    async with serving(aggregator := an_aggregator()) as address:
        settings = {
            "AGGREGATOR_ADDRESS": address,
            "DATABASE_URL": f"sqlite:///{folder}/runbook.sqlite",
        }
        replica = Replica(folder / "replica", settings)
        try:
            target = await replica.ready()
            guard = await asyncio.to_thread(_guard_nanoseconds, target)
            async with grpc.aio.insecure_channel(target) as channel:
                stub = RunbookServiceStub(channel)
                proposals, proposed = await _proposal_milliseconds(stub, aggregator, incidents)
                flips = await _flip_milliseconds(stub, target, proposed)
        finally:
            replica.kill()
    return {
        "proposal_p50_ms": _percentile(proposals, 50),
        "proposal_p99_ms": _percentile(proposals, 99),
        "flip_p50_ms": _percentile(flips, 50),
        "flip_p99_ms": _percentile(flips, 99),
        "guard_ns_per_feature": round(guard, 1),
    }


def _percentile(milliseconds: Sequence[float], which: int) -> float:
    return round(float(np.percentile(milliseconds, which)), 2)


def _guard_nanoseconds(address: str) -> float:
    names = [f"feature_{number}" for number in range(FEATURES)]
    features = dict.fromkeys(names, 1.0)
    with KillSwitchGuard(address, model="ads_ctr") as guard:
        assert guard.wait_ready(TIMEOUT)
        asked = timeit.timeit(lambda: guard.is_killed("feature_7"), number=_CALLS)
        applied = timeit.timeit(lambda: guard.apply(features, features), number=_CALLS)
    return 1e9 * max(asked, applied / FEATURES) / _CALLS


async def _proposal_milliseconds(
    stub: "Stub", aggregator: Aggregator, incidents: int
) -> tuple[list[float], list[Mitigation]]:
    """Break one model after the other; return the delays and the proposals."""
    watching = stub.WatchIncidents(pb.WatchIncidentsRequest())
    responses = watching.__aiter__()
    delays, proposed = [], []
    for number in range(incidents):
        model = f"models/model_{number}"
        start = time.perf_counter()
        await aggregator.publish(event_message(event(1, BROKEN, model=model)))
        async with asyncio.timeout(TIMEOUT):
            incident = (await anext(responses)).incident
            while incident.model != model or not incident.mitigations:
                incident = (await anext(responses)).incident
        delays.append(1000 * (time.perf_counter() - start))
        proposed.append(incident.mitigations[0])
    watching.cancel()
    print(f"proposals: {incidents}", flush=True)
    return delays, proposed


async def _flip_milliseconds(
    stub: "Stub", address: str, proposed: Sequence[Mitigation]
) -> list[float]:
    """Approve one proposal after the other; return each subscriber's delay of each."""
    channels = [grpc.aio.insecure_channel(address, _OWN) for _ in range(SUBSCRIBERS)]
    streams = [_configurations(channel) for channel in channels]
    await asyncio.gather(*(_until(stream, 0) for stream in streams))
    delays = []
    for count, mitigation in enumerate(proposed, start=1):
        request = pb.ApproveMitigationRequest(
            name=mitigation.name, plan_hash=mitigation.plan_hash, reason="measured"
        )
        start = time.perf_counter()
        approving = stub.ApproveMitigation(request, timeout=TIMEOUT)
        times = await asyncio.gather(*(_until(stream, count) for stream in streams))
        await approving
        delays += [1000 * (at - start) for at in times]
        # Nobody reads the next proposal faster; the runbook records meanwhile that it applied.
        await asyncio.sleep(_EXPERT_SECONDS)
    for channel in channels:
        await channel.close()
    print(f"flips: {len(proposed)} to {SUBSCRIBERS} subscribers", flush=True)
    return delays


# A connection each, as different hosts would have.
_OWN = [("grpc.use_local_subchannel_pool", 1)]


def _configurations(channel: grpc.aio.Channel) -> AsyncIterator[FlagSyncResponse]:
    sync = channel.unary_stream(
        "/flagd.sync.v1.FlagSyncService/SyncFlags",
        FlagSyncRequest.SerializeToString,
        FlagSyncResponse.FromString,
    )
    return aiter(sync(FlagSyncRequest()))


async def _until(stream: AsyncIterator[FlagSyncResponse], flags: int) -> float:
    """Return the time at which a subscriber has a configuration of that many flags."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            response = await anext(stream)
            at = time.perf_counter()
            if response.flag_configuration.count("aftershock.kill.") == flags:
                return at


if __name__ == "__main__":
    main()
