"""The demo's incident, approved in chat: `make demo-chat`, `make demo-chat CHAT=matrix`."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from aftershock.v1.incident_pb2 import Mitigation
from clients.drill.demo import play
from clients.drill.expert import DemoFailed
from deploy.child import Child
from deploy.local import Platform
from services.chassis.tokens import Role
from tests.chat.matrix import MatrixScene
from tests.chat.scene import ChatScene
from tests.chat.slack import SlackScene

APPROVER = "ada"
SCENES: Mapping[str, Callable[[], ChatScene]] = {"slack": SlackScene, "matrix": MatrixScene}


@dataclass(frozen=True)
class ChatSeat:
    """Puts the demo's expert into a chat, with the bot between them and the runbook."""

    scene: ChatScene
    folder: Path

    def __call__(self, platform: Platform, stack: ExitStack) -> Callable[[Mitigation], bool]:
        """Start the bot; return how the expert decides."""
        token = platform.token("chatbot", Role.READER, Role.DELEGATE)
        settings = {**platform.environment(token), **self.scene.environment()}
        settings["AFTERSHOCK_CHATBOT_TOKEN"] = token
        command = [sys.executable, "-m", "clients.chatbot"]
        bot = Child("chatbot", command, self.folder / "chatbot.log", settings)
        stack.callback(bot.stop)
        # Before the bot and the platform stop, the chat has seen the end.
        stack.push(self._see_the_end)

        def decide(_: Mitigation) -> bool:
            bot.check()
            self.scene.approve()
            return True

        return decide

    def _see_the_end(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self.scene.wait_for("is healthy again")


def main() -> None:
    """Play the story; the last line is its summary, one JSON object."""
    parser = argparse.ArgumentParser(prog="make demo-chat", description=__doc__)
    parser.add_argument("--chat", choices=sorted(SCENES), default="slack")
    parser.add_argument("--case", type=int, default=11, help="1 to 11 of the paper")
    parser.add_argument("--out", type=Path, default=Path("build/chat"), help="messages and plots")
    default = Path(os.environ.get("AFTERSHOCK_DATA_DIR", ".aftershock")) / "cache"
    parser.add_argument("--cache", type=Path, default=default)
    arguments = parser.parse_args()
    arguments.ask = False
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        summary = _play(arguments, SCENES[arguments.chat]())
    except (DemoFailed, TimeoutError) as error:
        sys.exit(f"the demo failed: {error}")
    print(json.dumps({**summary, "seconds": round(time.monotonic() - started, 1)}), flush=True)


def _play(arguments: argparse.Namespace, scene: ChatScene) -> dict[str, object]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aftershock-chat-")))
        scene.start(folder)
        stack.callback(scene.stop)
        roster = folder / "roster.toml"
        known = f'roles = ["reader", "approver"]\nidentities = ["{scene.identity}"]\n'
        roster.write_text(f"[{APPROVER}]\n{known}")
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
        settings = {"AFTERSHOCK_RUNBOOK_ROSTER": str(roster)}
        seat = ChatSeat(scene, folder)
        story = play(arguments, console, seat=seat, settings=settings)
        scene.save(arguments.out)
        messages, updates = scene.counts()
    return {
        "surface": scene.surface,
        "server": scene.server,
        "approved_by": APPROVER,
        "state": story.state,
        "messages": messages,
        "updates": updates,
    }


if __name__ == "__main__":
    main()
