"""Settings: closed by default, from the environment and a file."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from services.chassis.settings import ServiceSettings, is_loopback


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="AFTERSHOCK_SAMPLE_", extra="forbid")

    depth: int = 1


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.8.8:1"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.com:1"])
def test_not_loopback(address: str) -> None:
    assert not is_loopback(address)


def test_other_machines_are_not_served_in_the_clear() -> None:
    with pytest.raises(ValidationError, match="tls_certificate"):
        ServiceSettings(listen="0.0.0.0:8443")
    assert ServiceSettings(listen="0.0.0.0:8443", allow_insecure=True).allow_insecure


def test_certificate_and_key_go_together(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="together"):
        ServiceSettings(tls_certificate=tmp_path / "cert.pem")


def test_the_environment_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('depth = 2\nlog_level = "DEBUG"\n')
    monkeypatch.setenv("AFTERSHOCK_SAMPLE_CONFIG", str(file))
    monkeypatch.setenv("AFTERSHOCK_SAMPLE_DEPTH", "3")
    settings = Settings()
    assert (settings.depth, settings.log_level) == (3, "DEBUG")


def test_an_unknown_key_in_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("dpeth = 2\n")
    monkeypatch.setenv("AFTERSHOCK_SAMPLE_CONFIG", str(file))
    with pytest.raises(ValidationError, match="dpeth"):
        Settings()
