from datetime import timedelta

import pytest
from pydantic import ValidationError

from services.aggregator.domain.control import ControlSelection
from services.aggregator.settings import AggregatorSettings


def test_defaults_are_those_of_the_design() -> None:
    settings = AggregatorSettings()
    assert settings.rules.length == timedelta(hours=1)
    assert settings.rules.allowed_lateness == timedelta(0)
    assert settings.rules.retention == timedelta(days=8)
    assert (settings.band.lower, settings.band.upper) == (0.92, 1.08)
    assert settings.control_selection is ControlSelection.SAME_HOUR_PREVIOUS_DAY
    assert settings.sample_rules.most_examples == 2000


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_AGGREGATOR_REDIS_URL", "unix:///run/valkey.sock")
    monkeypatch.setenv("AFTERSHOCK_AGGREGATOR_WINDOW_SECONDS", "300")
    monkeypatch.setenv("AFTERSHOCK_AGGREGATOR_CONTROL_SELECTION", "PREVIOUS_HOUR")
    settings = AggregatorSettings()
    assert settings.redis_url == "unix:///run/valkey.sock"
    assert settings.rules.length == timedelta(minutes=5)
    assert settings.control_selection is ControlSelection.PREVIOUS_HOUR


@pytest.mark.parametrize(
    "bad",
    [
        {"redis_url": "valkey+unix:///x"},
        {"redis_url": "unix+cluster:///x"},
        {"healthy_band_lower": 1.2},
        {"window_seconds": 0},
        {"retention_days": 0.5},
        {"allowed_lateness_seconds": 8 * 86_400},
    ],
)
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AggregatorSettings(**bad)  # type: ignore[arg-type]


def test_the_http_server_is_closed_to_strangers_too() -> None:
    assert AggregatorSettings(lineage_listen="127.0.0.1:0").lineage_listen == "127.0.0.1:0"
    with pytest.raises(ValidationError, match=r"lineage_listen=0\.0\.0\.0:5000 serves"):
        AggregatorSettings(lineage_listen="0.0.0.0:5000")
    AggregatorSettings(lineage_listen="0.0.0.0:5000", allow_insecure=True)
