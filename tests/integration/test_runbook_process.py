"""The runbook as a process of its own: a whole incident, and kills in the middle of it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.flag_sync_pb2 import FlagSyncRequest, FlagSyncResponse
from aftershock.v1.incident_pb2 import (
    INCIDENT_STATE_CLOSED,
    INCIDENT_STATE_OPEN,
    INCIDENT_VERDICT_NATURAL_TRIGGER,
    MITIGATION_STATE_APPLIED,
    MITIGATION_STATE_EFFECTIVE,
    MITIGATION_STATE_PROPOSED,
    MITIGATION_STATE_REVERTED,
    Incident,
)
from aftershock.v1.runbook_service_pb2_grpc import RunbookServiceStub
from tests.postgres import PostgresServer
from tests.unit.services.runbook.builders import BROKEN, EVENT_TIME, HEALTHY, MODEL, event
from tests.unit.services.runbook.stand_ins import (
    Aggregator,
    an_aggregator,
    an_attribution,
    audited,
    event_message,
    serving,
)

ROOT = Path(__file__).parents[2]
KEY = "aftershock.kill.ads_ctr.user_embedding"
SECONDS = 90  # a start may take long on a busy machine


class Process:
    """A runbook process, and calls to it."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._address_file = folder / "address"
        self._environment = {
            "AFTERSHOCK_RUNBOOK_ADDRESS_FILE": str(self._address_file),
            "AFTERSHOCK_RUNBOOK_EXIT_WITH_PARENT": str(os.getpid()),
            "AFTERSHOCK_RUNBOOK_LEASE_SECONDS": "2",
            **{f"AFTERSHOCK_RUNBOOK_{key}": value for key, value in settings.items()},
        }

    async def start(self) -> None:
        self._address_file.unlink(missing_ok=True)
        self.process = self._spawn()
        async with asyncio.timeout(SECONDS):
            while not self._address_file.exists():
                assert self.process.poll() is None, "the runbook ended at start"
                await asyncio.sleep(0.02)
        self.channel = grpc.aio.insecure_channel(self._address_file.read_text())
        self.stub = RunbookServiceStub(self.channel)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "services.runbook"],
            cwd=ROOT,
            env={**os.environ, **self._environment},
        )

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        await self.channel.close()
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, SECONDS)

    async def incident(self) -> Incident | None:
        page = await self.stub.ListIncidents(pb.ListIncidentsRequest(), timeout=SECONDS)
        return page.incidents[0] if page.incidents else None

    async def until(self, reached: Callable[[Incident], bool]) -> Incident:
        async with asyncio.timeout(SECONDS):
            while True:
                incident = await self.incident()
                if incident is not None and reached(incident):
                    return incident
                await asyncio.sleep(0.02)

    async def until_state(self, state: int) -> Incident:
        return await self.until(lambda i: bool(i.mitigations) and i.mitigations[-1].state == state)

    async def approve(self) -> None:
        incident = await self.until_state(MITIGATION_STATE_PROPOSED)
        request = pb.ApproveMitigationRequest(
            name=incident.mitigations[-1].name, plan_hash=incident.mitigations[-1].plan_hash
        )
        await self.stub.ApproveMitigation(request, timeout=SECONDS)

    def flags(self) -> AsyncIterator[FlagSyncResponse]:
        sync = self.channel.unary_stream(
            "/flagd.sync.v1.FlagSyncService/SyncFlags",
            FlagSyncRequest.SerializeToString,
            FlagSyncResponse.FromString,
        )
        stream: Any = sync(FlagSyncRequest())
        responses: AsyncIterator[FlagSyncResponse] = stream.__aiter__()
        return responses


async def following(flags: AsyncIterator[FlagSyncResponse]) -> set[str]:
    response = await asyncio.wait_for(anext(flags), SECONDS)
    return set(json.loads(response.flag_configuration)["flags"])


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer
) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/runbook.sqlite"
    return postgres_server.empty_database()


@pytest.fixture
async def aggregator() -> Aggregator:
    started = an_aggregator(event(0, HEALTHY), event(1, BROKEN))
    started.latest[MODEL] = EVENT_TIME + timedelta(hours=1, minutes=59)
    return started


@asynccontextmanager
async def running(folder: Path, aggregator: Aggregator, **settings: str) -> AsyncIterator[Process]:
    async with serving(aggregator, an_attribution()) as address:
        process = Process(
            folder, {"AGGREGATOR_ADDRESS": address, "ATTRIBUTION_ADDRESS": address, **settings}
        )
        await process.start()
        try:
            yield process
        finally:
            if process.process.poll() is None:
                await process.stop(signal.SIGKILL)


async def test_a_whole_incident(tmp_path: Path, aggregator: Aggregator, database_url: str) -> None:
    async with running(tmp_path, aggregator, DATABASE_URL=database_url) as runbook:
        flags = runbook.flags()
        assert await following(flags) == set()
        await runbook.approve()
        assert await following(flags) == {KEY}
        incident = await runbook.until_state(MITIGATION_STATE_APPLIED)
        assert incident.mitigations[0].approver == "local"
        for hour in (2, 3):
            await aggregator.publish(event_message(event(hour, HEALTHY)))
        incident = await runbook.until_state(MITIGATION_STATE_EFFECTIVE)
        assert incident.state == INCIDENT_STATE_CLOSED
        assert incident.mitigations[0].verified_calibration == HEALTHY
        # Streams are open, and the process ends all the same, without waiting for them.
        assert await runbook.stop() == 0


async def test_what_does_not_help_is_taken_back(tmp_path: Path, aggregator: Aggregator) -> None:
    url = f"sqlite:///{tmp_path}/runbook.sqlite"
    async with running(tmp_path, aggregator, DATABASE_URL=url) as runbook:
        flags = runbook.flags()
        await runbook.approve()
        assert [await following(flags) for _ in range(2)] == [set(), {KEY}]
        await runbook.until_state(MITIGATION_STATE_APPLIED)
        for hour in (2, 3):
            await aggregator.publish(event_message(event(hour, BROKEN)))
        incident = await runbook.until_state(MITIGATION_STATE_REVERTED)
        assert incident.state == INCIDENT_STATE_OPEN
        assert "needs a person" in incident.advice
        assert await following(flags) == set()


async def test_kills_between_yes_and_action_lead_to_one_effect(
    tmp_path: Path, aggregator: Aggregator, database_url: str
) -> None:
    async with running(tmp_path, aggregator, DATABASE_URL=database_url) as runbook:
        await runbook.approve()
        await runbook.stop(signal.SIGKILL)
        await runbook.start()
        incident = await runbook.until_state(MITIGATION_STATE_APPLIED)
        assert [e.message for e in incident.timeline].count(
            "applied: switch off user_embedding"
        ) == 1
        assert len(incident.mitigations) == 1
        await runbook.stop(signal.SIGKILL)
        await runbook.start()
        assert await following(runbook.flags()) == {KEY}


async def test_a_finding_outlives_deaths_and_an_aggregator_that_is_away(
    tmp_path: Path, aggregator: Aggregator, database_url: str
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "audit: {open_incident_when: finding.severity > 0.3}\n"
        "policies: [{name: mask, action: mask_ids, when: finding.severity > 0.3}]"
    )
    calm, lineage = an_aggregator(), audited(lambda _: True, "ads_ctr")
    async with serving(calm) as address:
        port = int(address.rpartition(":")[2])
    settings = {"POLICIES": str(policy), "FINDING_SECONDS": "0.1", "DATABASE_URL": database_url}
    runbook = Process(tmp_path, {"AGGREGATOR_ADDRESS": address, **settings})
    await runbook.start()
    try:
        assert await runbook.incident() is None
        async with serving(calm, lineage, port=port):
            await runbook.until_state(MITIGATION_STATE_PROPOSED)
            await runbook.stop(signal.SIGKILL)
            await runbook.start()
            await runbook.approve()
            await runbook.stop(signal.SIGKILL)
            await runbook.start()
            incident = await runbook.until_state(MITIGATION_STATE_APPLIED)
            assert incident.verdict == INCIDENT_VERDICT_NATURAL_TRIGGER
            assert await following(runbook.flags()) == {"aftershock.mask.ads_ctr.watched"}
            told = [entry.message for entry in incident.timeline]
            assert told.count("applied: serve watched without id 4711") == 1
            assert sum(said.startswith("opened:") for said in told) == 1
            request = pb.ListIncidentsRequest()
            page = await runbook.stub.ListIncidents(request, timeout=SECONDS)
            assert len(page.incidents) == 1
    finally:
        await runbook.stop(signal.SIGKILL)


async def test_a_bad_policy_stops_the_start(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("policies: [{name: a}]")
    environment = {
        **os.environ,
        "AFTERSHOCK_RUNBOOK_AGGREGATOR_ADDRESS": "127.0.0.1:1",
        "AFTERSHOCK_RUNBOOK_DATABASE_URL": f"sqlite:///{tmp_path}/runbook.sqlite",
        "AFTERSHOCK_RUNBOOK_POLICIES": str(policy),
    }
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.runbook"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    assert f"{policy}:1: policies[0].action: Field required" in ended.stderr
    assert "Traceback" not in ended.stderr
