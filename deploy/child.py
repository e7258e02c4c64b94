"""Child processes that never outlive their parent."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.02
# It holds the read end of a pipe whose write end is ours: however we end, the read returns. (Linux
# could kill a child with the thread that started it; but that takes code between fork and exec,
# which a process with threads must not run.)
_WATCHER = 'read -r _; kill -9 "$0" 2>/dev/null; rm -rf "$@"'


class ChildFailed(Exception):
    """A child ended, or was not ready in time. The text ends with its last log lines."""


class Child:
    """A process with its output in a log file.

    A shell beside it kills it when this process dies, even by SIGKILL, and removes its scratch
    folders.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        scratch: Sequence[Path] = (),
    ) -> None:
        self.name = name
        self._log, self._scratch = log, scratch
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops in order
            )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, str(self._process.pid), *map(str, scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready` says so.

        Raises:
            ChildFailed: the child ended first, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self._has_ended():
                raise ChildFailed(f"{self.name} ended while starting:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self.name} was not ready in {seconds:.0f} s:\n{self._tail()}")
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raise ChildFailed if the child has ended."""
        if self._has_ended():
            raise ChildFailed(f"{self.name} ended unexpectedly:\n{self._tail()}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()
        self._clean_up()

    def stop(self, seconds: float = 15.0) -> None:
        """Ask it to end, and end it if it does not."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._clean_up()

    def _has_ended(self) -> bool:
        if self._process.poll() is None:
            return False
        # Its number may be another's soon.
        self._dismiss_watcher()
        return True

    def _clean_up(self) -> None:
        self._dismiss_watcher()
        for folder in self._scratch:
            shutil.rmtree(folder, ignore_errors=True)

    def _dismiss_watcher(self) -> None:
        self._watcher.kill()
        self._watcher.communicate()

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
