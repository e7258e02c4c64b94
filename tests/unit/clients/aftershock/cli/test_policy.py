"""Policies are checked and replayed; the audit is verified."""

from pathlib import Path

import pytest

from aftershock.v1.runbook_service_pb2 import (
    CheckPolicyResponse,
    PolicySummary,
    ReplayedIncident,
)
from tests.unit.clients.aftershock.cli.running import run, run_json
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import (
    mitigation,
)


@pytest.fixture
def policy_file(tmp_path: Path) -> str:
    file = tmp_path / "policy.yaml"
    file.write_text("policies: []")
    return str(file)


def test_a_policy_that_can_be_followed(platform: Platform, policy_file: str) -> None:
    strict = PolicySummary(name="strict", version=2, mode="suggest", action="rollback")
    platform.runbook.check = CheckPolicyResponse(policies=[strict])
    assert "strict" in run("policy", "check", policy_file).stdout
    assert run_json("policy", "check", policy_file)["check"]["policies"][0]["version"] == 2
    assert platform.runbook.policies == ["policies: []"] * 2


def test_a_policy_with_mistakes(platform: Platform, policy_file: str) -> None:
    platform.runbook.check = CheckPolicyResponse(problems=["policy.yaml:3: policies[0].when: no"])
    assert "policy.yaml:3" in run("policy", "check", policy_file, code=1).stdout
    assert run_json("policy", "check", policy_file, code=1)["check"]["problems"]
    run("policy", "check", "/nowhere.yaml", code=2)


def test_a_file_without_a_policy_is_said_to_propose_nothing(policy_file: str) -> None:
    assert "has no policy: nothing would be proposed" in run("policy", "check", policy_file).stdout


def test_what_a_policy_would_have_done(platform: Platform, policy_file: str) -> None:
    acted = ReplayedIncident(
        incident="incidents/INC-1",
        would_act=True,
        policy="strict",
        would="propose: switch off user_embedding",
        mitigations=[mitigation()],
    )
    quiet = ReplayedIncident(incident="incidents/INC-2", would="No policy acts on it.")
    platform.runbook.replayed = [acted, quiet]
    output = run("policy", "replay", policy_file).stdout
    assert "propose: switch off user_embedding" in output
    assert "It would have acted on 1 of 2 incidents." in output
    shown = run_json("policy", "replay", policy_file, "--limit", "1")["incidents"]
    assert [each["incident"] for each in shown] == ["incidents/INC-1"]


def test_an_audit_that_is_intact() -> None:
    assert "is as it was written: 8 records" in run("audit", "verify").stdout
    assert run_json("audit", "verify")["audit"]["intact"] is True


def test_an_audit_that_was_tampered_with(platform: Platform) -> None:
    platform.runbook.audit.intact = False
    platform.runbook.audit.breaks.append("record 3 (incidents/INC-1) was changed")
    output = run("audit", "verify", code=1).stdout
    assert "was tampered with" in output
    assert "record 3 (incidents/INC-1) was changed" in output
    assert run_json("audit", "verify", code=1)["audit"]["breaks"]
