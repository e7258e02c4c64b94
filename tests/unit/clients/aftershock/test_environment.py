"""Where the services are, who is calling, and whether in plaintext."""

from pathlib import Path

import pytest

from aftershock import Client, ConfigurationError
from aftershock._channel import is_plaintext
from aftershock._environment import Endpoints, Environment, Service
from tests.unit.clients.aftershock.conftest import Platform


def test_addresses_by_precedence() -> None:
    environment = Environment.read(
        {"AFTERSHOCK_ADDRESS": "all:1", "AFTERSHOCK_RUNBOOK_ADDRESS": "runbook:1"}
    )
    assert Endpoints(environment).of(Service.RUNBOOK) == "runbook:1"
    assert Endpoints(environment).of(Service.AGGREGATOR) == "all:1"
    assert Endpoints(environment, "given:1").of(Service.RUNBOOK) == "given:1"
    own = Endpoints(environment, "given:1", {Service.RUNBOOK: "own:1"})
    assert own.of(Service.RUNBOOK) == "own:1"


def test_a_missing_address_names_the_variable_and_the_argument() -> None:
    with pytest.raises(ConfigurationError, match="AFTERSHOCK_RUNBOOK_ADDRESS"):
        Client().incidents()


@pytest.mark.parametrize(
    ("address", "variables", "plaintext"),
    [
        ("127.0.0.1:80", {}, True),
        ("localhost:80", {}, True),
        ("[::1]:80", {}, True),
        ("unix:/tmp/socket", {}, True),
        ("aftershock.internal:443", {}, False),
        ("10.0.0.1:443", {}, False),
        ("127.0.0.1:80", {"AFTERSHOCK_TLS_CA": "ca.pem"}, False),
    ],
)
def test_plaintext_only_on_this_machine(
    address: str, variables: dict[str, str], plaintext: bool
) -> None:
    assert is_plaintext(address, Environment.read(variables)) is plaintext


@pytest.mark.parametrize(
    ("value", "disabled"), [("1", True), ("true", True), ("0", False), ("", False)]
)
def test_disabled(value: str, disabled: bool) -> None:
    assert Environment.read({"AFTERSHOCK_DISABLED": value}).disabled is disabled


def test_an_unreadable_tls_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AFTERSHOCK_TLS_CA", str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigurationError, match=r"AFTERSHOCK_TLS_CA.*missing\.pem"):
        Client("127.0.0.1:1").incidents()


def test_the_token_travels_as_metadata(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_TOKEN", "from-environment")
    with Client(platform.address) as client:
        client.incidents()
    with Client(platform.address, token="given") as client:
        client.incidents()
    seen = [metadata["authorization"] for metadata in platform.runbook.metadata]
    assert seen == ["Bearer from-environment", "Bearer given"]


def test_every_unary_call_has_a_deadline(platform: Platform, client: Client) -> None:
    client.models()
    (left,) = platform.aggregator.time_left
    assert left is not None
    # gRPC rounds up what it sends.
    assert left < 5.5
