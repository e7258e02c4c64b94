"""A platform with a model, an incident and a checkpoint, and its address in the environment."""

import pytest

from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import (
    checkpoint,
    comparison,
    incident,
    summary,
    window,
)

MODEL_WINDOWS = [window(3), window(2, 1.31, anomalous=True), window(1, 0.99)]


@pytest.fixture(autouse=True)
def _populated(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.aggregator.models = [summary()]
    platform.aggregator.windows = MODEL_WINDOWS
    platform.aggregator.comparison = comparison()
    platform.attribution.checkpoints = [checkpoint()]
    platform.runbook.incidents = [incident()]
    monkeypatch.setenv("AFTERSHOCK_ADDRESS", platform.address)
