"""A webhook receiver on real HTTP: verifies signatures, keeps levers, and misbehaves as told."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
_OLDEST_SECONDS = 300
_FIRST_SETTINGS = {"ID_MASK": "served", "ROW_QUARANTINE": "used", "ROW_REBALANCE": "used"}


@dataclass
class Receiver:
    """What a receiver has to do by the contract, written apart from what is tested."""

    url: str = ""
    served: str = "2"
    """Checkpoint that a model is served with at first."""
    settings: dict[tuple[str, str], str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    messages: list[dict[str, Any]] = field(default_factory=list)
    effects: int = 0
    fail_before: list[int] = field(default_factory=list)
    """Statuses to answer the next messages with, without doing anything."""
    hang_after: int = 0
    """How many of the next messages are carried out and then not answered in time."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, message_id: str, message: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a message: once a key, whatever the messages."""
        with self.lock:
            self.attempts[message_id] += 1
            if self.fail_before:
                return self.fail_before.pop(0), {}
            self.messages.append(message)
            return self._carry_out(message["type"], message["data"])

    def _carry_out(self, kind: str, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if kind == "mitigation.observe":
            return 200, {"settings": self._found(data)}
        key, state = data.get("key", ""), self.keys.get(data.get("key", ""))
        if kind == "mitigation.apply":
            if state == "reverted":
                return 409, {"error": "that was taken back"}
            if state is None:
                found = self._found(data)
                if changed := [lever for lever in found if found[lever] != data["previous"][lever]]:
                    return 409, {"error": f"somebody else changed {changed[0]} since"}
                self._put(data, data["target"])
                self.keys[key] = "applied"
        elif kind == "mitigation.revert":
            if state == "applied":
                found = self._found(data)
                ours = {k: v for k, v in data["previous"].items() if found[k] == data["target"][k]}
                self._put(data, ours)
            self.keys[key] = "reverted"
        return 200, {}

    def _found(self, data: dict[str, Any]) -> dict[str, str]:
        model = data["model"]
        if data["kind"] in _FIRST_SETTINGS:
            first, levers = _FIRST_SETTINGS[data["kind"]], [x["lever"] for x in data["labels"]]
            return {lever: self.settings.get((model, lever), first) for lever in levers}
        if data["kind"] == "CHECKPOINT_ROLLBACK":
            return {"checkpoint": self.settings.get((model, "checkpoint"), self.served)}
        return {f: self.settings.get((model, f), "served") for f in data["features"]}

    def _put(self, data: dict[str, Any], settings: dict[str, str]) -> None:
        self.effects += 1
        self.settings.update({(data["model"], lever): s for lever, s in settings.items()})


def verified(headers: Any, body: bytes) -> bool:
    """Whether the message is ours and fresh."""
    stamp, message_id = headers["webhook-timestamp"], headers["webhook-id"]
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = b".".join([message_id.encode(), stamp.encode(), body])
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(stamp)) < _OLDEST_SECONDS
    return fresh and hmac.compare_digest(expected, headers["webhook-signature"])


@contextmanager
def receiving(hold: threading.Event) -> Iterator[Receiver]:
    """Serve a receiver on loopback; `hold` lets go of the answers that it holds back."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if not verified(self.headers, body):
                return self._answer(401, {"error": "signature"})
            status, content = receiver.take(self.headers["webhook-id"], json.loads(body))
            if receiver.hang_after > 0:
                receiver.hang_after -= 1
                hold.wait(30)
            return self._answer(status, content)

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            try:
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except OSError:
                # Whoever asked has given up.
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
