"""How soon the runbook proposes and acts, and what its guard costs a model server.

- Proposal: from a shift event that the aggregator publishes to the proposal in a watcher's hands,
  without inference.
- Flip: from the expert's yes to the changed flag in each of 100 subscribers' hands: real flagd
  providers, in-process resolver, in four other processes.
- Guard: one feature's question to `KillSwitchGuard`, and its share of an `apply`, while nothing is
  killed; the larger of the two.

On SQLite and on PostgreSQL, both with durable commits; the figures are of the slower one.

    python -m tests.bench.runbook [--quick]
"""

import argparse
import asyncio
import json
import tempfile
import time
import timeit
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np

from aftershock.serving import KillSwitchGuard
from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.incident_pb2 import Mitigation
from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceStub
from tests.bench.flag_subscribers import Subscribers, following
from tests.postgres import start_postgres
from tests.unit.services.runbook.builders import BROKEN, event
from tests.unit.services.runbook.replicas import Replica
from tests.unit.services.runbook.stand_ins import Aggregator, an_aggregator, event_message, serving

if TYPE_CHECKING:
    from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceAsyncStub as Stub

PROCESSES = 4
SUBSCRIBERS = 100
FEATURES = 100
TIMEOUT = 30.0
_CALLS = 20_000
_EXPERT_SECONDS = 0.1


def main() -> None:
    """Measure and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="within 45 s")
    incidents = 30 if parser.parse_args().quick else 200
    with tempfile.TemporaryDirectory() as name, start_postgres(durable=True) as postgres:
        urls = {
            "sqlite": f"sqlite:///{name}/runbook.sqlite",
            "postgresql": postgres.empty_database(),
        }
        found = [
            asyncio.run(_measured(Path(name) / store, url, incidents))
            for store, url in urls.items()
        ]
    print(json.dumps({figure: max(each[figure] for each in found) for figure in found[0]}))


async def _measured(folder: Path, database_url: str, incidents: int) -> dict[str, float]:
    async with serving(aggregator := an_aggregator()) as address:
        settings = {"AGGREGATOR_ADDRESS": address, "DATABASE_URL": database_url}
        replica = Replica(folder, settings)
        try:
            target = await replica.ready()
            guard = await asyncio.to_thread(_guard_nanoseconds, target)
            async with grpc.aio.insecure_channel(target) as channel:
                stub = RunbookServiceStub(channel)
                proposals, proposed = await _proposal_milliseconds(stub, aggregator, incidents)
                with following(target, PROCESSES, SUBSCRIBERS // PROCESSES) as subscribers:
                    flips = await _flip_milliseconds(stub, subscribers, proposed)
        finally:
            replica.kill()
    found = {
        "proposal_p50_ms": _percentile(proposals, 50),
        "proposal_p99_ms": _percentile(proposals, 99),
        "flip_p50_ms": _percentile(flips, 50),
        "flip_p99_ms": _percentile(flips, 99),
        "guard_ns_per_feature": round(guard, 1),
    }
    print(f"{folder.name}: {json.dumps(found)}", flush=True)
    return found


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
    stub: "Stub", subscribers: Subscribers, proposed: Sequence[Mitigation]
) -> list[float]:
    """Approve one proposal after the other; return each subscriber's delay of each.

    Each is taken back before the next, as guard rails keep few features off at a time.
    """
    delays = []
    for number, mitigation in enumerate(proposed):
        flag = f"aftershock.kill.model_{number}.{mitigation.features[0]}"
        start = time.monotonic()
        request = pb.ApproveMitigationRequest(
            name=mitigation.name, plan_hash=mitigation.plan_hash, reason="measured"
        )
        await stub.ApproveMitigation(request, timeout=TIMEOUT)
        delays += [1000 * (at - start) for at in await subscribers.see(flag, killed=True)]
        await asyncio.sleep(_EXPERT_SECONDS)
        back = pb.RevertMitigationRequest(name=mitigation.name, reason="measured")
        await stub.RevertMitigation(back, timeout=TIMEOUT)
        await subscribers.see(flag, killed=False)
        await asyncio.sleep(_EXPERT_SECONDS)
    print(f"flips: {len(proposed)} to {SUBSCRIBERS} subscribers", flush=True)
    return delays


if __name__ == "__main__":
    main()
