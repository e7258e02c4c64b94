"""Whom the runbook calls outside, by a real webhook."""

import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from tenacity import wait_none

from services.runbook.adapters.standard_webhook import StandardWebhook
from services.runbook.adapters.system_clock import SystemClock
from services.runbook.adapters.webhook_pager import WebhookPager
from services.runbook.domain.errors import PagerUnavailable
from services.runbook.domain.work import Call
from tests.webhook_receiver import SECRET, Receiver, receiving

CALL = Call("incidents/INC-1", "ranking rota", "calling ranking rota: calibration is out")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    with receiving(threading.Event()) as found:
        yield found


@pytest.fixture
async def pager(receiver: Receiver) -> AsyncIterator[WebhookPager]:
    async with httpx.AsyncClient(timeout=5) as http:
        yield WebhookPager(
            StandardWebhook(
                http, receiver.url, SECRET, SystemClock(), attempts=2, pauses=wait_none()
            )
        )


async def test_a_call_is_signed_and_says_whom_and_why(
    pager: WebhookPager, receiver: Receiver
) -> None:
    await pager.page(CALL, "models/ads_ctr")
    (message,) = receiver.messages
    assert (message["type"], message["data"]) == (
        "incident.call",
        {
            "subject": "incidents/INC-1",
            "model": "ads_ctr",
            "to": "ranking rota",
            "message": "calling ranking rota: calibration is out",
        },
    )


async def test_a_call_that_is_made_again_has_the_same_id(
    pager: WebhookPager, receiver: Receiver
) -> None:
    receiver.fail_before = [503]
    await pager.page(CALL, "models/ads_ctr")
    await pager.page(CALL, "models/ads_ctr")
    assert receiver.attempts == {CALL.key: 3}


@pytest.mark.parametrize("status", [500, 404])
async def test_a_call_that_is_not_taken(
    pager: WebhookPager, receiver: Receiver, status: int
) -> None:
    receiver.fail_before = [status] * 2
    with pytest.raises(PagerUnavailable, match=str(status)):
        await pager.page(CALL, "models/ads_ctr")
