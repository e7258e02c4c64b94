"""Kills runbooks at random instants, and has a model checker judge what they did.

Two replicas share a database, SQLite and then PostgreSQL. Models break one after the other; experts
approve, reject, race each other, change their minds or stay silent, through either replica; they
stop all mitigations and let them go on; windows then show that it helped, or that it did not.
Leases lapse within seconds; kills are renewed, released by stages and killed again. Every other
model is fed an id that an audit found: it is masked instead. Meanwhile one
replica after another is killed (-9) and started again. A subscriber follows the flags. The database
itself witnesses every effect and every audit row; in the end every mitigation must have come to
rest by allowed ways, with each approved effect applied once and none without approval.

    python -m tests.torture.runbook [--quick]
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import grpc

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.flag_sync_pb2 import FlagSyncRequest, FlagSyncResponse
from aftershock.v1.incident_pb2 import Incident, Mitigation
from aftershock.v1.incident_pb2 import MitigationState as State
from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceStub
from services.runbook.adapters.anchor_file import AnchorFile
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.suspect import masked_id
from services.runbook.verify_audit import VerifyAudit
from tests.postgres import start_postgres
from tests.torture.runbook_history import audited as audit_of
from tests.torture.runbook_history import install_witness, judge, witnessed
from tests.unit.services.runbook.builders import BROKEN, HEALTHY, event
from tests.unit.services.runbook.replicas import PERMISSIVE_POLICY, Replica
from tests.unit.services.runbook.stand_ins import (
    Aggregator,
    an_aggregator,
    audited,
    event_message,
    serving,
)

T = TypeVar("T")
if TYPE_CHECKING:
    from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceAsyncStub as Stub

REPLICAS = 2
PIPELINES = 12
"""Incidents under way at the same time."""
APPROVAL_SECONDS = 4.0
PROMISES = (
    "effects_applied_twice",
    "approved_but_never_applied",
    "applied_without_approval",
    "audit_breaks",
    "invalid_transitions",
)
_LEASES = {
    "hours": 4 / 3600,
    "reapproval_minutes": 1 / 60,
    "stages": [10, 100],
}
_MASK = {"name": "mask", "action": "mask_ids", "when": "finding.severity > 0.5"}
_ALL_TRAFFIC = 100
_ATTEMPT_SECONDS = 3.0
_AT_WORK = 0.8
_SETTLING_SECONDS = 90.0
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_REFUSED = grpc.StatusCode.FAILED_PRECONDITION
_AWAITED = {
    State.MITIGATION_STATE_APPROVED,
    State.MITIGATION_STATE_APPLYING,
    State.MITIGATION_STATE_REVERTING,
    State.MITIGATION_STATE_PROPOSED,
}
_ENDS = {
    State.MITIGATION_STATE_EFFECTIVE,
    State.MITIGATION_STATE_RELEASING,
    State.MITIGATION_STATE_REVERTED,
}


@dataclass
class World:
    """The replicas of one database, who talks to them, and what they were told."""

    aggregator: Aggregator
    replicas: Sequence[Replica]
    approved: set[str] = field(default_factory=set)
    """Names of mitigations whose approval was acknowledged."""
    asked: set[str] = field(default_factory=set)
    """Flags of features whose kill was ever asked for."""
    unasked: set[str] = field(default_factory=set)
    """Flags that a subscriber saw although nobody had asked for them."""
    served: set[str] = field(default_factory=set)
    """Flags that the subscriber saw last."""
    published: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, model: str, hour: int, ratio: float) -> None:
        """Close a window; some windows are told of twice."""
        for _ in range(random.choice([1, 1, 1, 2])):
            self.published += 1
            told = replace(event(hour, ratio, model=model), cursor=f"{self.published}-0")
            await self.aggregator.publish(event_message(told))

    async def insist(self, call: "Callable[[Stub], Awaitable[T]]") -> T | None:
        """Call either replica until one answers; None if the answer is a refusal."""
        while True:
            address = random.choice(self.replicas).address
            try:
                if address:
                    async with grpc.aio.insecure_channel(address) as channel:
                        return await call(RunbookServiceStub(channel))
            except grpc.aio.AioRpcError as error:
                if error.code() == _REFUSED:
                    return None
                if error.code() not in _PASSING and "Internal error from Core" not in str(error):
                    raise
            await asyncio.sleep(random.uniform(0, 0.05))

    async def until(self, model: str, reached: Callable[[Incident], bool]) -> Incident:
        """Look at the model's incident until it is so."""
        request = pb.ListIncidentsRequest(model=model)
        while True:
            page = await self.insist(lambda s: s.ListIncidents(request, timeout=_ATTEMPT_SECONDS))
            if page and page.incidents and reached(page.incidents[0]):
                return page.incidents[0]
            await asyncio.sleep(0.05)

    async def approve(self, proposal: Mitigation) -> None:
        """Say yes."""
        model = await self._model(proposal.name)
        self.asked |= {f"aftershock.kill.{model}.{feature}" for feature in proposal.features}
        self.asked |= {f"aftershock.mask.{model}.{each.feature}" for each in proposal.labels}
        request = pb.ApproveMitigationRequest(name=proposal.name, plan_hash=proposal.plan_hash)
        if await self.insist(lambda s: s.ApproveMitigation(request, timeout=_ATTEMPT_SECONDS)):
            self.approved.add(proposal.name)

    async def reject(self, proposal: Mitigation) -> None:
        """Say no."""
        request = pb.RejectMitigationRequest(
            name=proposal.name, plan_hash=proposal.plan_hash, reason="no"
        )
        await self.insist(lambda s: s.RejectMitigation(request, timeout=_ATTEMPT_SECONDS))

    async def renew(self, mitigation: Mitigation) -> None:
        """Have it last, or put in force again."""
        request = pb.RenewMitigationRequest(name=mitigation.name, reason="still broken")
        await self.insist(lambda s: s.RenewMitigation(request, timeout=_ATTEMPT_SECONDS))

    async def release(self, mitigation: Mitigation) -> None:
        """Have its features served again by stages."""
        request = pb.ReleaseMitigationRequest(name=mitigation.name, reason="mended upstream")
        await self.insist(lambda s: s.ReleaseMitigation(request, timeout=_ATTEMPT_SECONDS))

    async def stop_all_and_go_on(self) -> None:
        """Pause mitigations for a moment, again and again, until told to stop."""
        stop, go_on = (
            pb.PauseMitigationsRequest(reason="x"),
            pb.ResumeMitigationsRequest(reason="y"),
        )
        while not self.stopping.is_set():
            await asyncio.sleep(random.uniform(1, 3))
            await self.insist(lambda s: s.PauseMitigations(stop, timeout=_ATTEMPT_SECONDS))
            await asyncio.sleep(random.uniform(0, 0.3))
            await self.insist(lambda s: s.ResumeMitigations(go_on, timeout=_ATTEMPT_SECONDS))

    async def recall(self, mitigation: Mitigation) -> None:
        """Have it undone, however far it is."""
        request = pb.RevertMitigationRequest(name=mitigation.name, reason="enough")
        await self.insist(lambda s: s.RevertMitigation(request, timeout=_ATTEMPT_SECONDS))

    async def _model(self, mitigation: str) -> str:
        request = pb.GetIncidentRequest(name=mitigation.partition("/mitigations/")[0])
        found = await self.insist(lambda s: s.GetIncident(request, timeout=_ATTEMPT_SECONDS))
        assert found is not None
        return found.incident.model.removeprefix("models/")

    async def follow_flags(self) -> None:
        """Follow the flags until cancelled, wherever they are served."""
        while True:
            address = random.choice(self.replicas).address
            try:
                if address:
                    async with grpc.aio.insecure_channel(address) as channel:
                        await self._follow(channel)
            except grpc.aio.AioRpcError:
                pass
            await asyncio.sleep(0.02)

    async def _follow(self, channel: grpc.aio.Channel) -> None:
        sync = channel.unary_stream(
            "/flagd.sync.v1.FlagSyncService/SyncFlags",
            FlagSyncRequest.SerializeToString,
            FlagSyncResponse.FromString,
        )
        async for response in sync(FlagSyncRequest()):
            self.served = set(json.loads(response.flag_configuration)["flags"])
            self.unasked |= self.served - self.asked


def _holds_an_id(model: str) -> bool:
    """Whether an audit found an id in what feeds a model: of every other pipeline."""
    return int(model.split("_")[1]) % 2 == 0


async def _pipeline(world: World, number: int) -> None:
    """Break one model after the other until told to stop; a begun incident is ended."""
    count = 0
    while not world.stopping.is_set():
        await _incident(world, f"models/model_{number}_{count}")
        count += 1


async def _incident(world: World, model: str) -> None:
    await world.publish(model, 1, BROKEN)
    proposal = (await world.until(model, lambda i: bool(i.mitigations))).mitigations[0]
    fate = random.choice(["approve"] * 5 + ["reject", "race", "expire"])
    if fate == "approve":
        await asyncio.gather(*(world.approve(proposal) for _ in range(random.randint(1, 2))))
    elif fate == "reject":
        await world.reject(proposal)
    elif fate == "race":
        await asyncio.gather(world.approve(proposal), world.reject(proposal))
    if random.random() < 0.2:
        await world.recall(proposal)
    decided = await world.until(model, lambda i: i.mitigations[0].state not in _AWAITED)
    if decided.mitigations[0].state != State.MITIGATION_STATE_APPLIED:
        return
    if random.random() < 0.2:
        await world.recall(proposal)
        return
    ratio = random.choice([HEALTHY, BROKEN])
    for hour in (2, 3):
        await world.publish(model, hour, ratio)
    await world.until(model, lambda i: i.mitigations[0].state in _ENDS)
    await _afterwards(world, model, proposal)


async def _afterwards(world: World, model: str, mitigation: Mitigation) -> None:
    """An effective kill is left to its lease, undone, kept, or released in good or bad times."""
    fate = random.choice(["leave", "recall", "renew", "release", "release", "release"])
    if fate == "leave":
        return
    await getattr(world, fate)(mitigation)
    broken_at = random.choice([None, None, 4, 6, 8])
    for hour in range(4, 13):
        if world.stopping.is_set():
            return
        await world.publish(model, hour, BROKEN if hour == broken_at else HEALTHY)
        await asyncio.sleep(random.uniform(0, 0.4))
    if random.random() < 0.2:
        await world.recall(mitigation)


async def _tortured(folder: Path, url: str, kills: int) -> Counter[str]:
    engine = open_engine(url)
    upgrade(engine)
    install_witness(engine)
    anchor_file = folder / f"anchors-{engine.dialect.name}"
    anchors = AnchorFile(anchor_file)
    aggregator = an_aggregator()
    async with serving(aggregator, audited(_holds_an_id)) as address:
        settings = {
            "AGGREGATOR_ADDRESS": address,
            "DATABASE_URL": url,
            "AUDIT_ANCHOR_FILE": str(anchor_file),
            "AUDIT_ANCHOR_SECONDS": "0.3",
            "APPROVAL_MINUTES": str(APPROVAL_SECONDS / 60),
        }
        policies = [_MASK, *PERMISSIVE_POLICY["policies"]]
        policy = {**PERMISSIVE_POLICY, "policies": policies, "lease": _LEASES}
        replicas = [Replica(folder / f"replica-{n}", settings, policy) for n in range(REPLICAS)]
        try:
            world = World(aggregator, replicas)
            await asyncio.gather(*(replica.ready() for replica in replicas))
            following = asyncio.create_task(world.follow_flags())
            await _with_kills(world, kills)
            await _settled(world)
            following.cancel()
        finally:
            for replica in replicas:
                replica.kill()
    history = witnessed(engine)
    ways = Counter(f"{e.before}>{e.after}" for e in history if "/mitigations/" in e.subject)
    print({way: count for way, count in sorted(ways.items()) if way.isupper()}, flush=True)
    counts = judge(history, audit_of(engine), world.approved)
    verified = await VerifyAudit(SqlStore(SqlTransactions(engine), ChangeSignal()), anchors)()
    counts["audit_breaks"] += len(verified.breaks) + (verified.anchor_count == 0)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT model, feature, served_percent FROM killed_feature"
        )
        killed = {flag for row in rows if (flag := _flag(*row))}
    counts["applied_without_approval"] += len(world.unasked | (world.served - killed))
    counts["approved_but_never_applied"] += len(killed - world.served)
    engine.dispose()
    return counts + Counter(kills=kills)


def _flag(model: str, lever: str, served_percent: int) -> str:
    """Return the flag of what is switched off; empty for an id that is served to all again."""
    model_id, mask = model.removeprefix("models/"), masked_id(lever)
    if mask is None:
        return f"aftershock.kill.{model_id}.{lever}"
    return f"aftershock.mask.{model_id}.{mask[0]}" if served_percent < _ALL_TRAFFIC else ""


async def _with_kills(world: World, kills: int) -> None:
    pipelines = [asyncio.create_task(_pipeline(world, number)) for number in range(PIPELINES)]
    pipelines.append(asyncio.create_task(world.stop_all_and_go_on()))
    for _ in range(kills):
        victim = random.choice(world.replicas)
        # Most deaths strike at work, however slowly a busy machine starts; the others at any time.
        if random.random() < _AT_WORK:
            await victim.ready()
        await asyncio.sleep(random.uniform(0, 0.6))
        await asyncio.to_thread(victim.kill)
        victim.start()
        failed = [task for task in pipelines if task.done()]
        if failed:
            failed[0].result()
    world.stopping.set()
    async with asyncio.timeout(_SETTLING_SECONDS):
        await asyncio.gather(*pipelines)


async def _settled(world: World) -> None:
    """Wait until nothing is under way any more and the subscriber has heard of all; give up late.

    What has not come to rest by then is counted by the judge.
    """
    deadline = time.monotonic() + _SETTLING_SECONDS
    while time.monotonic() < deadline:
        served = set(world.served)
        await asyncio.sleep(2.5)
        if served == world.served and not await _under_way(world):
            return


async def _under_way(world: World) -> bool:
    token = ""
    while True:
        request = pb.ListIncidentsRequest(page_size=1000, page_token=token)
        page = await world.insist(lambda s: s.ListIncidents(request, timeout=_ATTEMPT_SECONDS))  # noqa: B023
        assert page is not None
        if any(m.state in _AWAITED for i in page.incidents for m in i.mitigations):
            return True
        token = page.next_page_token
        if not token:
            return False


def main() -> None:
    """Torture and print one JSON object last; exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="28 kills, within 45 s")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    print(f"seed {arguments.seed}", flush=True)
    kills = 14 if arguments.quick else 150
    counts = Counter[str]()
    with tempfile.TemporaryDirectory() as name, start_postgres() as postgres:
        folder = Path(name)
        for url in (f"sqlite:///{folder}/runbook.sqlite", postgres.empty_database()):
            found = asyncio.run(_tortured(folder, url, kills))
            print(url.partition(":")[0], dict(found), flush=True)
            counts += found
    print(json.dumps({key: counts[key] for key in ("kills", "mitigations", *PROMISES)}))
    raise SystemExit(any(counts[promise] for promise in PROMISES))


if __name__ == "__main__":
    main()
