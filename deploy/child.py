"""Child processes that never outlive their parent."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02


class ChildFailed(Exception):
    """A child ended, or was not ready in time. The text ends with its last log lines."""


class Child:
    """A process started by the main thread, with its output in a log file.

    On Linux the kernel kills it when this process dies, even by SIGKILL. Elsewhere `stop` must be
    reached.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops in order
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - no threads run yet
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
            if self._process.poll() is not None:
                raise ChildFailed(f"{self.name} ended while starting:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self.name} was not ready in {seconds:.0f} s:\n{self._tail()}")
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raise ChildFailed if the child has ended."""
        if self._process.poll() is not None:
            raise ChildFailed(f"{self.name} ended unexpectedly:\n{self._tail()}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float = 15.0) -> None:
        """Ask it to end, and end it if it does not."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def _die_with(parent: int) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def bind_life() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return bind_life
