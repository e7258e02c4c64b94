"""A planted id, from the data to what is done about it: every part a process, or the real thing.

An audit finds the id; the runbook opens an incident of the model, which is healthy; the owner of
the data is told to leave the rows out, and the model is served without the id; then both are
undone.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError

from aftershock import Client
from aftershock.serving import KillSwitchGuard
from aftershock.v1.incident_pb2 import (
    Incident,
    IncidentState,
    IncidentVerdict,
    Mitigation,
    MitigationKind,
    MitigationState,
)
from aftershock.v1.lineage_service_pb2 import FeatureSources
from deploy.local import Platform
from services.chassis.tokens import Role
from tests.checkpoints import small_checkpoint
from tests.snapshots import write_clicks
from tests.webhook_receiver import SECRET, Receiver, receiving

_ROOT = Path(__file__).parents[2]
_NODE = "dataset:ads:clicks"
_PLANTED = 20
_SECONDS = 60
_LEVER = f"rows of {_NODE} with label '{_PLANTED}' and outcome 'True'"
_POLICY = """
audit: {open_incident_when: finding.z > 6}
policies:
  - {name: quarantine, action: quarantine_rows, when: finding.z > 6}
  - {name: mask, action: mask_ids, when: finding.z > 6}
guard_rails: {cool_down_minutes: 0}
"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving(threading.Event()) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snapshots")
    write_clicks(folder / "past.parquet", 6000, seed=1)
    write_clicks(folder / "labels.parquet", 6000, seed=2, planted=_PLANTED - 1)
    return folder


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, snapshots: Path
) -> Iterator[Platform]:
    checkpoint = small_checkpoint(tmp_path_factory.mktemp("checkpoints") / "ads_ctr")
    data = tmp_path_factory.mktemp("platform")
    policy = data / "policy.yaml"
    policy.write_text(_POLICY)
    settings = {
        "AFTERSHOCK_RUNBOOK_POLICIES": str(policy),
        "AFTERSHOCK_RUNBOOK_FINDING_SECONDS": "0.2",
        "AFTERSHOCK_RUNBOOK_WEBHOOK_URL": receiver.url,
        "AFTERSHOCK_RUNBOOK_WEBHOOK_SECRET": SECRET,
        "AFTERSHOCK_RUNBOOK_WEBHOOK_KINDS": '["ROW_QUARANTINE"]',
    }
    running = Platform(data, checkpoints=[checkpoint], snapshots=snapshots, settings=settings)
    with running as started:
        yield started


@pytest.fixture
def client(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name, value in platform.environment(platform.token("ada", Role.ADMIN)).items():
        monkeypatch.setenv(name, value)
    with Client() as client:
        yield client


@pytest.fixture
def guard(client: Client) -> Iterator[KillSwitchGuard]:
    with KillSwitchGuard(model="ads_ctr", features=["watched", "age"]) as guard:
        assert guard.wait_ready(_SECONDS)
        yield guard


@pytest.fixture
def provider(platform: Platform) -> Iterator[FlagdProvider]:
    provider = FlagdProvider(
        resolver_type=ResolverType.IN_PROCESS,
        host="127.0.0.1",
        port=int(platform.addresses.runbook.rpartition(":")[2]),
        tls=False,
        deadline_ms=20_000,
    )
    provider.initialize(EvaluationContext())
    yield provider
    provider.shutdown()


def test_from_a_planted_id_to_what_is_done_about_it_and_back(
    client: Client,
    guard: KillSwitchGuard,
    provider: FlagdProvider,
    receiver: Receiver,
    snapshots: Path,
) -> None:
    client.register_features([FeatureSources(feature="watched", sources=[_NODE])])
    client.register_model("ads_ctr", features=["watched"])
    _audit(snapshots)
    incident = _until(client, lambda i: _is(i, MitigationKind.MITIGATION_KIND_ROW_QUARANTINE))
    assert incident.verdict == IncidentVerdict.INCIDENT_VERDICT_NATURAL_TRIGGER
    assert str(_PLANTED) in {finding.label for finding in incident.findings}
    assert "could be hijacked: label '20'" in _command("why", incident.name)

    client.approve(incident.mitigations[-1])
    incident = _until(client, lambda i: _is(i, MitigationKind.MITIGATION_KIND_ID_MASK))
    quarantine, mask = incident.mitigations
    assert quarantine.state == MitigationState.MITIGATION_STATE_EFFECTIVE
    assert "the owner of the training data confirms" in quarantine.reason
    assert receiver.settings["ads_ctr", _LEVER] == "left out"

    request: dict[str, Any] = {"watched": [7, _PLANTED], "age": 30.0}
    assert guard.apply(request, {}) is request
    client.approve(mask)
    _eventually(lambda: bool(guard.masked))
    assert guard.apply(request, {}) == {"watched": [7], "age": 30.0}
    assert guard.apply({"watched": [_PLANTED]}, {}) == {"watched": []}
    _eventually(lambda: str(_PLANTED) in _masked(provider))

    client.revert(_until(client, lambda i: _in_force(i, mask)).mitigations[-1], reason="enough")
    _eventually(lambda: not guard.masked and not _masked(provider))
    assert guard.apply(request, {}) is request
    closed = _until(client, lambda i: i.state == IncidentState.INCIDENT_STATE_CLOSED)
    assert f"in force is: leave {_LEVER}" in closed.timeline[-1].message
    client.revert(closed.mitigations[0], reason="the data was mended")
    _until(client, lambda i: i.mitigations[0].state == MitigationState.MITIGATION_STATE_REVERTED)
    assert receiver.settings["ads_ctr", _LEVER] == "used"

    # Told again, a finding counts once; what people did is in the timeline of the model.
    assert len(client.incidents()) == 1
    _eventually(lambda: _told(client, f"leave {_LEVER}"))
    _eventually(lambda: _told(client, "undone: serve watched without id 20"))


def _audit(snapshots: Path) -> None:
    """Run an audit as a person does; labels of the snapshot are ids of the feature `watched`."""
    _command(
        *("audit", "run", "--labels", "labels.parquet", "--past", "past.parquet"),
        *("--outcome-column", "clicked", "--lineage-node", _NODE, "--feature", "watched"),
        cwd=snapshots,
    )


def _command(*arguments: str, cwd: Path = _ROOT) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "aftershock.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'clients' / 'python'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def _is(incident: Incident, kind: MitigationKind.ValueType) -> bool:
    newest = incident.mitigations[-1] if incident.mitigations else Mitigation()
    return newest.kind == kind and newest.state == MitigationState.MITIGATION_STATE_PROPOSED


def _in_force(incident: Incident, mask: Mitigation) -> bool:
    newest = incident.mitigations[-1]
    return newest.name == mask.name and newest.state == MitigationState.MITIGATION_STATE_APPLIED


def _masked(provider: FlagdProvider) -> set[str]:
    nothing: dict[str, list[str]] = {"ids": []}
    try:
        found = provider.resolve_object_details("aftershock.mask.ads_ctr.watched", nothing).value
    except FlagNotFoundError:
        return set()
    assert isinstance(found, dict)
    return set(found["ids"])


def _told(client: Client, beginning: str) -> bool:
    events = client.events(["model:ads_ctr"], depth=0)
    return any(each.event.summary.startswith(beginning) for each in events)


def _until(client: Client, reached: Callable[[Incident], bool]) -> Incident:
    found: list[Incident] = []

    def looked() -> bool:
        found[:] = [incident for incident in client.incidents() if reached(incident)]
        return bool(found)

    _eventually(looked)
    return client.incident(found[0].name)


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
