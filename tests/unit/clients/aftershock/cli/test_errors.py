"""What goes wrong is one line and an exit code."""

import grpc
import pytest

from aftershock.v1.error_reason_pb2 import ErrorReason
from services.chassis.errors import ErrorStatus, Forbidden, Overloaded
from tests.unit.clients.aftershock.cli.running import run
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.recording import refusal


class StalePlan(Exception):
    field = "plan_hash"


def test_errors_are_one_line_and_an_exit_code(platform: Platform) -> None:
    stale = ErrorStatus(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STALE_PLAN)
    for error, code, line in [
        (
            StalePlan("the plan changed: look again"),
            3,
            "aftershock: the plan changed: look again (in plan_hash) [STALE_PLAN]\n",
        ),
        (
            Forbidden("reader may not call it: it takes the role approver"),
            4,
            "aftershock: reader may not call it: it takes the role approver [FORBIDDEN]\n",
        ),
        (
            Overloaded("as much work as it takes on", retry_after=60.0),
            5,
            "aftershock: as much work as it takes on [OVERLOADED]; try again in 60 s\n",
        ),
        (
            ZeroDivisionError("secret"),
            6,
            "aftershock: internal error; the server's log has the details [INTERNAL]\n",
        ),
    ]:
        platform.runbook.errors = [refusal(error, {StalePlan: stale})]
        assert run("incidents", code=code).stderr == line
    assert run("incidents", "--json", code=0).stderr == ""


def test_usage_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    run("windows", code=2)
    run("explode", code=2)
    monkeypatch.delenv("AFTERSHOCK_ADDRESS")
    assert "AFTERSHOCK_RUNBOOK_ADDRESS" in run("incidents", code=2).stderr


def test_addresses_as_options(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFTERSHOCK_ADDRESS")
    run("--address", platform.address, "incidents")
    run("--runbook", platform.address, "--aggregator", platform.address, "status")
    assert "127.0.0.1:1" in run("--address", "127.0.0.1:1", "incidents", code=5).stderr
