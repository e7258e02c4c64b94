"""Webhooks that are signed, and receivers that answer late, twice, 500 or not at all."""

import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from tenacity import wait_none

from services.runbook.adapters.actuators.webhook import Webhook
from services.runbook.adapters.standard_webhook import (
    StandardWebhook,
    WebhookRefused,
    WebhookUnavailable,
    secret_bytes,
    signature,
)
from services.runbook.adapters.system_clock import SystemClock
from services.runbook.domain.errors import ActuatorConflict, ActuatorRefused, ActuatorUnavailable
from services.runbook.domain.plan import MitigationKind, Plan
from tests.webhook_receiver import SECRET, Receiver, receiving

KEY = "incidents/INC-1/mitigations/1"
PLAN = Plan("INC-1", "models/ads", MitigationKind.KILL_SWITCH, ("a",))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    with receiving(threading.Event()) as found:
        yield found


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=1.0) as client:
        yield client


def endpoint(http: httpx.AsyncClient, url: str, secret: str = SECRET) -> StandardWebhook:
    return StandardWebhook(http, url, secret, SystemClock(), pauses=wait_none())


def test_the_signature_of_the_published_example() -> None:
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    time = datetime.fromtimestamp(1614265330, UTC)
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", time, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_%%%", "whsec_c2hvcnQ=", ""])
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook's secret"):
        secret_bytes(secret)


async def test_a_wrong_secret_is_refused(http: httpx.AsyncClient, receiver: Receiver) -> None:
    other = endpoint(http, receiver.url, "whsec_" + "QUJD" * 11)
    with pytest.raises(WebhookRefused, match="401"):
        await other.send("m", "test", {})
    assert not receiver.messages


async def test_failures_are_tried_again_under_one_id(
    http: httpx.AsyncClient, receiver: Receiver
) -> None:
    receiver.fail_before = [500, 429]
    await endpoint(http, receiver.url).send("m", "test", {"n": 1})
    assert receiver.attempts == {"m": 3}
    assert [message["data"] for message in receiver.messages] == [{"n": 1}]


async def test_an_endpoint_that_stays_down(http: httpx.AsyncClient, receiver: Receiver) -> None:
    receiver.fail_before = [503] * 3
    with pytest.raises(WebhookUnavailable, match="503"):
        await endpoint(http, receiver.url).send("m", "test", {})
    with pytest.raises(WebhookUnavailable, match="does not answer"):
        await endpoint(http, "http://127.0.0.1:1/").send("m", "test", {})


async def test_a_mitigation_that_succeeds_but_times_out_is_carried_out_once(
    http: httpx.AsyncClient, receiver: Receiver
) -> None:
    actuator = Webhook(endpoint(http, receiver.url))
    change = await actuator.plan(PLAN)
    receiver.hang_after = 1
    await actuator.apply(KEY, PLAN, change)
    assert receiver.effects == 1
    assert receiver.attempts[f"{KEY}/apply"] == 2
    assert await actuator.observe(PLAN) == change.target


async def test_a_receiver_that_refuses_or_is_silent(
    http: httpx.AsyncClient, receiver: Receiver
) -> None:
    actuator = Webhook(endpoint(http, receiver.url))
    change = await actuator.plan(PLAN)
    for statuses, raised in (
        ([400], ActuatorRefused),
        ([409], ActuatorConflict),
        ([500] * 3, ActuatorUnavailable),
    ):
        receiver.fail_before = list(statuses)
        with pytest.raises(raised):
            await actuator.apply(KEY, PLAN, change)
    assert receiver.effects == 0


async def test_a_revert_that_is_refused_is_asked_again(
    http: httpx.AsyncClient, receiver: Receiver
) -> None:
    actuator = Webhook(endpoint(http, receiver.url))
    change = await actuator.plan(PLAN)
    await actuator.apply(KEY, PLAN, change)
    receiver.fail_before = [400]
    with pytest.raises(ActuatorUnavailable, match="400"):
        await actuator.revert(KEY, PLAN, change)
    await actuator.revert(KEY, PLAN, change)
    assert await actuator.observe(PLAN) == change.previous
