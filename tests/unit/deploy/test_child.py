"""Children end with their parent and say why when they end by themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.child import Child, ChildFailed
from deploy.valkey import Valkey

_PARENT = """
import sys, time
from pathlib import Path
from deploy.valkey import Valkey

server = Valkey(Path(sys.argv[1]), scratch=sys.argv[2] == "scratch")
print(server.pid, flush=True)
time.sleep(600)
"""


def _is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split(") ")[1][0] != "Z"


@pytest.mark.parametrize("kept", ["scratch", "kept"])
def test_valkey_dies_with_a_parent_that_is_killed(tmp_path: Path, kept: str) -> None:
    folder = tmp_path / "valkey"
    command = [sys.executable, "-c", _PARENT, str(folder), kept]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _is_running(pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _is_running(pid) or folder.exists() != (kept == "kept"):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            pytest.fail("Valkey, or its folder, outlived its parent")
        time.sleep(0.01)


def test_valkey_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    import redis

    first = Valkey(tmp_path)
    with redis.Redis.from_url(first.url) as client:
        client.set("key", "value")
    first.stop()
    second = Valkey(tmp_path)
    assert second.url == first.url
    with redis.Redis.from_url(second.url) as client:
        assert client.get("key") == b"value"
    second.stop()


def test_a_path_that_is_too_long_for_a_socket_has_one_elsewhere(tmp_path: Path) -> None:
    import redis

    server = Valkey(tmp_path / ("long" * 30))
    socket = Path(server.url.removeprefix("unix://"))
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
    server.stop()
    assert not socket.parent.exists()


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    child = Child("sample", [sys.executable, "-c", "exit('no such table')"], tmp_path / "log", {})
    with pytest.raises(ChildFailed, match="no such table"):
        child.wait_until(lambda: False, seconds=20)
    with pytest.raises(ChildFailed, match="sample ended unexpectedly"):
        child.check()
    child.stop()


def test_a_child_that_ignores_the_request_is_ended(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); "
    child = Child("deaf", [sys.executable, "-c", script + "time.sleep(600)"], tmp_path / "log", {})
    child.wait_until(lambda: "up" in (tmp_path / "log").read_text(), seconds=20)
    child.stop(seconds=0.2)
    assert not _is_running(child.pid)
