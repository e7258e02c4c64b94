"""The platform on one machine: what its services and people tell of, seen on one timeline."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import yaml
from openlineage.client import OpenLineageClient

from aftershock import Client, InvalidRequest
from deploy.local import Platform
from services.chassis.tokens import Role
from services.runbook.adapters.grpc_timeline import GrpcTimeline
from services.runbook.domain.errors import TimelineUnavailable
from services.runbook.domain.happening import Happening, HappeningKind
from tests.unit.services.aggregator.adapters.openlineage_world import run_event
from tests.unit.services.aggregator.served import serving
from tests.unit.services.aggregator.worlds import HOUR, NOON
from tests.valkey import ValkeyServer

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (_DOCS / page).read_text(), flags=re.DOTALL)


def aftershock(*arguments: str) -> str:
    command = [sys.executable, "-m", "aftershock.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_the_pages_show_works(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, the commands, the deploy's line and the variables of integrations."""
    token = platform.token("ann", Role.ADMIN)
    for name, value in platform.environment(token).items():
        monkeypatch.setenv(name, value)
    (text,) = blocks("reference/lineage.md", "yaml")
    file = tmp_path / "lineage.yaml"
    file.write_text(text)
    told = "ads-team tells of 3 nodes and 9 edges."
    assert told in aftershock("lineage", "check", str(file))
    assert told in aftershock("lineage", "apply", str(file))
    (deploy,) = blocks("operations/lineage.md", "python")
    with Client() as client:
        exec(deploy, {"client": client})
        names = [listed.event.summary for listed in client.events(["model:ads_ctr"])]
    assert names == ["version 7"]
    assert "version 7" in aftershock("timeline", "ads_ctr")
    (exports,) = blocks("operations/lineage.md", "sh")
    assert set(re.findall(r"export (\w+)=", exports)) <= platform.environment(token).keys()
    (transport,) = blocks("operations/lineage.md", "yaml")
    assert yaml.safe_load(transport)["transport"]["auth"]["type"] == "api_key"


def test_a_client_that_reads_the_environment_is_heard(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = platform.token("airflow", Role.PIPELINE, Role.READER)
    for name, value in platform.environment(token).items():
        monkeypatch.setenv(name, value)
    with Client() as client:
        client.record_event("deploy", "job:airflow:encode", "before anything runs")
        start = client.events(["job:airflow:encode"])[0].event.time.ToDatetime().isoformat()
        OpenLineageClient().emit(run_event("FAIL", time=f"{start}+00:00", error="no rows"))
        kinds = {listed.event.summary for listed in client.events(["job:airflow:encode"])}
    assert kinds == {"before anything runs", "run failed: no rows"}


def test_events_that_cannot_be_kept_are_refused(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = platform.token("ann", Role.PIPELINE)
    for name, value in platform.environment(token).items():
        monkeypatch.setenv(name, value)
    with Client() as client:
        for node, time, field in (
            ("user_age", None, "event.node"),
            ("feature:user_age", datetime.now(UTC) + timedelta(days=2), "event.time"),
        ):
            with pytest.raises(InvalidRequest) as caught:
                client.record_event("deploy", node, "version 7", time=time)
            assert [violation.field for violation in caught.value.violations] == [field]


async def test_what_the_runbook_tells_arrives_once(valkey: ValkeyServer) -> None:
    def happening(name: str) -> Happening:
        return Happening(
            id=name,
            model="models/ads_ctr",
            kind=HappeningKind.FLAG_FLIP,
            time=NOON,
            actor="ada",
            summary="switch off user_embedding",
            details={"mitigation": "incidents/INC-1/mitigations/M-1"},
        )

    async with serving(valkey.url, retention_days=36_500) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            timeline = GrpcTimeline(channel, ())
            # The last one is refused for ever, and holds nothing up.
            for name in ("1", "1", "2", "x" * 300):
                await timeline.record(happening(name))
        with Client(aggregator=address) as client:
            found = await asyncio.to_thread(client.events, ["model:ads_ctr"], start=NOON - HOUR)
    assert [listed.event.event_id for listed in found] == ["2", "1"]
    assert found[0].event.details_json == '{"mitigation": "incidents/INC-1/mitigations/M-1"}'
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(TimelineUnavailable, match="UNAVAILABLE"):
            await GrpcTimeline(channel, ()).record(happening("3"))
