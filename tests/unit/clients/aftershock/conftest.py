"""Servers to talk to, and an environment that says nothing."""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from aftershock import Client, aio
from tests.unit.clients.aftershock.incidents import incident
from tests.unit.clients.aftershock.recording import Aggregator, Attribution, Runbook, Served
from tests.unit.clients.aftershock.recording_lineage import Lineage


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AFTERSHOCK_"):
            monkeypatch.delenv(name)


@dataclass(frozen=True)
class Platform:
    """Recording services behind one address."""

    attribution: Attribution
    aggregator: Aggregator
    lineage: Lineage
    runbook: Runbook
    served: Served

    @property
    def address(self) -> str:
        return self.served.address


@pytest.fixture
def platform() -> Iterator[Platform]:
    attribution, aggregator, lineage = Attribution(), Aggregator(), Lineage()
    runbook = Runbook()
    served = Served(attribution, aggregator, lineage, runbook)
    yield Platform(attribution, aggregator, lineage, runbook, served)
    attribution.answering.set()
    served.kill()


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    with Client(platform.address, model="ads_ctr", timeout=5.0) as client:
        yield client


@pytest.fixture
async def asynchronous(platform: Platform) -> AsyncIterator[aio.Client]:
    async with aio.Client(platform.address, timeout=5.0) as client:
        yield client


@pytest.fixture
def with_incident(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform has an incident, and its address is in the environment."""
    platform.runbook.incidents = [incident()]
    monkeypatch.setenv("AFTERSHOCK_ADDRESS", platform.address)
