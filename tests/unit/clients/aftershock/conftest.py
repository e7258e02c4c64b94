"""Servers to talk to, and an environment that says nothing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from aftershock import Client
from tests.unit.clients.aftershock.recording import Aggregator, Attribution, Runbook, Served


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AFTERSHOCK_"):
            monkeypatch.delenv(name)


@dataclass(frozen=True)
class Platform:
    """Three recording services behind one address."""

    attribution: Attribution
    aggregator: Aggregator
    runbook: Runbook
    served: Served

    @property
    def address(self) -> str:
        return self.served.address


@pytest.fixture
def platform() -> Iterator[Platform]:
    attribution, aggregator, runbook = Attribution(), Aggregator(), Runbook()
    served = Served(attribution, aggregator, runbook)
    yield Platform(attribution, aggregator, runbook, served)
    attribution.answering.set()
    served.kill()


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    with Client(platform.address, model="ads_ctr", timeout=5.0) as client:
        yield client
