"""The demo's Slack: the strict fake, on a thread of its own."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.chat.picture import picture
from tests.slack.people import NoSuchButton, Person
from tests.slack.server import APP_TOKEN, BOT_TOKEN, FakeSlack
from tests.slack.world import Message, words

_SECONDS = 60.0


class SlackScene:
    """A workspace with a channel, the bot by Socket Mode, and ada."""

    surface = "slack"
    server = "strict fake Slack, Socket Mode"
    identity = "slack:T1/UADA"

    def __init__(self) -> None:
        self.slack = FakeSlack()
        self._ada: Person = self.slack.person("UADA", "ada")
        self._stopping: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._serve, name="fake-slack", daemon=True)
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._proposed: dict[str, Any] = {}

    def start(self, folder: Path) -> None:
        """Serve on a free port."""
        self._thread.start()
        self._loop.result(_SECONDS)

    def environment(self) -> Mapping[str, str]:
        """Return the bot's settings."""
        return {
            "AFTERSHOCK_CHATBOT_CHAT": "slack",
            "AFTERSHOCK_CHATBOT_SLACK_BOT_TOKEN": BOT_TOKEN,
            "AFTERSHOCK_CHATBOT_SLACK_APP_TOKEN": APP_TOKEN,
            "AFTERSHOCK_CHATBOT_SLACK_CHANNEL": "C1",
            "AFTERSHOCK_CHATBOT_SLACK_URL": f"{self.slack.url}/api/",
        }

    def approve(self) -> None:
        """Press Approve, and see the buttons go."""
        self._until(self._can_approve, "a message that can be approved")
        # Plots first: a person looks before they press.
        self._until(lambda: bool(self._pictures()), "plots")
        self._proposed = self._message().as_json(with_metadata=True)
        click = self._ada.click(self._message(), "approve")
        asyncio.run_coroutine_threadsafe(click, self._loop.result()).result(_SECONDS)
        self._until(lambda: not self._can_approve(), "the buttons to go")

    def wait_for(self, text: str) -> None:
        """Wait until the message says something."""
        self._until(lambda: text in words(self._message().blocks), text)

    def counts(self) -> tuple[int, int]:
        """Return messages and updates."""
        posted = self.slack.world.messages
        return len(posted), sum(message.updates for message in posted)

    def save(self, folder: Path) -> None:
        """Write the message when it asked and at the end, its thread, and the plots."""
        shown = self._message()
        replies = [m.as_json(with_metadata=True) for m in self.slack.world.thread(shown)]
        for name, content in (
            ("slack-proposed", self._proposed),
            ("slack-final", shown.as_json(with_metadata=True)),
            ("slack-thread", replies),
        ):
            text = json.dumps(content, indent=2, ensure_ascii=False)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        for name, content in (
            ("slack-proposed", self._proposed["blocks"]),
            ("slack-final", shown.blocks),
        ):
            (folder / f"{name}.svg").write_text(picture(content), encoding="utf-8")
        for file in self.slack.world.files.values():
            (folder / file.name).write_bytes(file.content or b"")

    def stop(self) -> None:
        """Stop serving. Raises RuntimeError where the real Slack would have refused something."""
        self._stopping()
        self._thread.join(_SECONDS)
        if self.slack.violations:
            raise RuntimeError("; ".join(self.slack.violations))

    def _serve(self) -> None:
        asyncio.run(self._serve_until_stopped())

    async def _serve_until_stopped(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)

        self._stopping = end
        async with self.slack.running():
            self._loop.set_result(loop)
            await stop.wait()

    def _message(self) -> Message:
        return self.slack.world.in_channel("C1")[-1]

    def _pictures(self) -> list[str]:
        return [f.name for reply in self.slack.world.thread(self._message()) for f in reply.files]

    def _can_approve(self) -> bool:
        if not self.slack.world.in_channel("C1"):
            return False
        try:
            self._ada.look(self._message(), "approve")
        except NoSuchButton:
            return False
        return True

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Slack does not show {what}: {self.slack.violations}")
            time.sleep(0.05)
