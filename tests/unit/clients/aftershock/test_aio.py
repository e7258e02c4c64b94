"""The async client does what the sync one does, on an event loop."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from aftershock import NotFound, SchemaMismatch, Unavailable, aio
from aftershock.v1.incident_pb2 import IncidentState
from services.chassis.errors import Overloaded as Busy
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import (
    checkpoint,
    comparison,
    explanation,
    incident,
    mitigation,
    profile,
    sample_size,
    summary,
    window,
)
from tests.unit.clients.aftershock.recording import refusal
from tests.unit.clients.aftershock.test_examples import WRONG

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[aio.Client]:
    async with aio.Client(platform.address, model="ads_ctr", timeout=5.0) as client:
        yield client


async def test_the_pipeline_calls(platform: Platform, client: aio.Client) -> None:
    async with client.examples() as log:
        await log.send({"hour": np.arange(3)}, event_time=NOON)
    assert log.stats.accepted == 3
    assert len(platform.attribution.deliveries.stored) == 1
    await client.outcomes(start=NOON, end=NOON + timedelta(hours=1), expected=2.0, observed=1)
    assert platform.aggregator.requests[0].observed == 1


async def test_a_wrong_dtype_fails_at_the_first_batch(
    platform: Platform, client: aio.Client
) -> None:
    platform.attribution.judge = lambda _: WRONG
    with pytest.raises(SchemaMismatch, match="'hour'"):
        async with client.examples() as log:
            await log.send({"hour": ["a"]}, event_time=NOON)


async def test_reading_and_deciding(platform: Platform, client: aio.Client) -> None:
    platform.aggregator.models = [summary()]
    platform.aggregator.windows = [window(hour) for hour in range(5)]
    platform.aggregator.comparison = comparison()
    platform.attribution.checkpoints = [checkpoint()]
    platform.runbook.incidents = [incident()]
    assert await client.models() == [summary()]
    assert len(await client.windows()) == 5
    assert await client.gfi(window(2)) == []
    assert await client.compare(window(2)) == comparison()
    assert await client.checkpoints() == [checkpoint()]
    assert await client.load_checkpoint("/checkpoints/a") == checkpoint()
    platform.attribution.explanation = explanation()
    assert await client.explain_checkpoint() == explanation()
    assert platform.attribution.requests[-1].name == "models/ads_ctr"
    rules = await client.set_model_rules(allowed_lateness=timedelta(minutes=10))
    assert rules.allowed_lateness.ToTimedelta() == timedelta(minutes=10)
    assert not rules.HasField("retention")
    platform.aggregator.sample_size = sample_size()
    assert await client.sample_size(window(2), tolerance=0.01) == sample_size()
    platform.aggregator.profile = profile()
    assert await client.profile(window(2), "genres") == profile()
    assert await client.incidents() == [incident()]
    assert await client.incident("INC-1") == incident()
    assert await client.approve("INC-1") == mitigation()
    assert await client.reject(mitigation(), "not convinced") == mitigation()
    assert await client.revert(mitigation(), "it did not help") == mitigation()
    assert await client.renew(mitigation(), "still broken") == mitigation()
    assert await client.release(mitigation(), "mended") == mitigation()
    assert (await client.pause("the sale")).paused
    assert (await client.pause_state()).reason == "the sale"
    assert not (await client.resume("over")).paused


async def test_watching_goes_on_after_a_break_and_repeats_nothing(
    platform: Platform, client: aio.Client
) -> None:
    opened, closed = incident(), incident()
    closed.state = IncidentState.INCIDENT_STATE_CLOSED
    platform.runbook.incidents = [opened]
    watch = client.watch_incidents()
    assert await anext(watch) == opened
    platform.runbook.incidents = [closed]
    assert await anext(watch) == closed
    await watch.aclose()


async def test_errors(platform: Platform, client: aio.Client) -> None:
    with pytest.raises(NotFound, match=r"incidents/INC-9"):
        await client.incident("INC-9")
    platform.runbook.errors = [refusal(Busy("busy", retry_after=0.05), {})]
    assert await client.incidents() == []
    async with aio.Client("127.0.0.1:1") as nowhere:
        with pytest.raises(Unavailable, match="runbook service"):
            await nowhere.incidents()


async def test_disabled_is_a_no_op(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_DISABLED", "1")
    client = aio.Client()
    async with client.examples() as log:
        await log.send({}, event_time=NOON)
    answer = await client.outcomes(start=NOON, end=NOON, expected=1.0, observed=1)
    assert not answer.HasField("window")


async def test_policies_are_tried(platform: Platform, client: aio.Client, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("policies: []")
    assert await client.check_policy(file) == platform.runbook.check
    assert await client.replay_policy(file, limit=5) == platform.runbook.replayed
    assert platform.runbook.policies == ["policies: []"] * 2


async def test_the_audit_is_verified(platform: Platform, client: aio.Client) -> None:
    assert await client.verify_audit() == platform.runbook.audit
