"""The bot as its own process, killed while somebody decides."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.chassis.tokens import Role
from services.runbook.domain.mitigation import MitigationState
from tests.slack.delivery import AppSilent
from tests.slack.server import APP_TOKEN, BOT_TOKEN, FakeSlack
from tests.unit.services.runbook.builders import BROKEN, event
from tests.unit.services.runbook.serving import ServedRunbook, serve_runbook
from tests.waiting import until

_START_SECONDS = 90.0


@asynccontextmanager
async def bot(served: ServedRunbook, slack: FakeSlack) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a bot and wait until it is connected."""
    token = served.token("chatbot", Role.READER, Role.DELEGATE)
    settings = {
        "AFTERSHOCK_RUNBOOK_ADDRESS": served.address,
        "AFTERSHOCK_CHATBOT_TOKEN": token,
        "AFTERSHOCK_CHATBOT_LINEAGE": "false",
        "AFTERSHOCK_CHATBOT_PLOTS": "false",
        "AFTERSHOCK_CHATBOT_SLACK_BOT_TOKEN": BOT_TOKEN,
        "AFTERSHOCK_CHATBOT_SLACK_APP_TOKEN": APP_TOKEN,
        "AFTERSHOCK_CHATBOT_SLACK_CHANNEL": "C1",
        "AFTERSHOCK_CHATBOT_SLACK_URL": f"{slack.url}/api/",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "clients.chatbot", env={**os.environ, **settings}
    )
    try:
        shown = slack.world.in_channel
        await until(lambda: bool(slack.socket.sockets and shown("C1")), _START_SECONDS)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.timeout(300)
async def test_killed_at_the_click_it_answers_after_a_restart(tmp_path: Path) -> None:
    async with serve_runbook(tmp_path) as served, FakeSlack().running() as slack:
        ada = slack.person("UADA", "ada")
        await served.runbook.see(event(1, BROKEN))
        async with bot(served, slack) as process:
            message = slack.world.in_channel("C1")[0]
            press = ada.pressing(ada.look(message, "approve"))
            process.send_signal(signal.SIGSTOP)
            click = asyncio.create_task(slack.deliver(press))
            await asyncio.sleep(0.2)
            process.kill()
            with pytest.raises(AppSilent):
                await click
        assert (await served.runbook.mitigation()).state is MitigationState.PROPOSED
        # What the dead one may have claimed lapses.
        served.runbook.clock.advance(seconds=30)
        async with bot(served, slack) as process:
            await ada.click(message, "approve")
            await until(lambda: "Approved by ada" in str(message.blocks))
            process.terminate()
            assert await process.wait() == 0
        assert slack.world.in_channel("C1") == [message]
        assert slack.violations == []
