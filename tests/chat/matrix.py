"""The demo's Matrix: a real Synapse with a room."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.matrix_people import MatrixMessage, MatrixPerson, open_room
from tests.synapse import Account, serve_synapse

_SECONDS = 120.0


class MatrixScene:
    """A homeserver with a room, the bot, and ada."""

    surface = "matrix"
    server = "Synapse"
    identity = "matrix:@ada:example.org"

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._proposed: dict[str, Any] = {}

    def start(self, folder: Path) -> None:
        """Start Synapse, and make the room."""
        synapse = self._stack.enter_context(serve_synapse())
        self._bot: Account = synapse.account("aftershock")
        ada = synapse.account("ada")
        self._ada = MatrixPerson(ada, open_room(self._bot, ada))

    def environment(self) -> Mapping[str, str]:
        """Return the bot's settings."""
        return {
            "AFTERSHOCK_CHATBOT_CHAT": "matrix",
            "AFTERSHOCK_CHATBOT_MATRIX_URL": self._bot.url,
            "AFTERSHOCK_CHATBOT_MATRIX_ACCESS_TOKEN": self._bot.token,
            "AFTERSHOCK_CHATBOT_MATRIX_ROOM": self._ada.room,
        }

    def approve(self) -> None:
        """Put a thumb up under the message, and see the invitation go."""
        # Plots first: a person looks before they decide.
        self._until(lambda seen: "👍" in seen.body and bool(seen.plots), "a proposal with plots")
        message = self._message()
        self._proposed = message.content
        self._ada.react(message.event, "👍")
        self._until(lambda seen: "👍" not in seen.body, "that it was approved")

    def wait_for(self, text: str) -> None:
        """Wait until the message says something."""
        self._until(lambda seen: text in seen.body, text)

    def counts(self) -> tuple[int, int]:
        """Return messages and edits."""
        message = self._message()
        return 1 + len(message.thread), message.edits

    def save(self, folder: Path) -> None:
        """Write the message when it asked and at the end, its thread, and the plots."""
        message = self._message()
        for name, content in (
            ("matrix-proposed", self._proposed),
            ("matrix-final", message.content),
            ("matrix-thread", [reply["content"] for reply in message.thread]),
        ):
            text = json.dumps(content, indent=2, ensure_ascii=False)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        for plot in message.plots:
            (folder / plot["filename"]).write_bytes(self._ada.picture(plot["url"]))

    def stop(self) -> None:
        """Stop Synapse."""
        self._stack.close()

    def _message(self) -> MatrixMessage:
        (message,) = self._messages()
        return message

    def _messages(self) -> list[MatrixMessage]:
        return [seen for seen in self._ada.messages() if seen.sender == self._bot.user]

    def _until(self, holds: Callable[[MatrixMessage], bool], what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not any(map(holds, self._messages())):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Matrix does not show {what}")
            time.sleep(0.2)
