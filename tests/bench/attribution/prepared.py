"""Measurements prepared all at once, each in a process of its own, and taken one at a time.

Processes are forked: what this one has imported, none imports again.
"""

import multiprocessing
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from typing import Any

Result = dict[str, Any]
Measure = Callable[[], Result]
Prepare = Callable[[], AbstractContextManager[Measure]]

FORK = multiprocessing.get_context("fork")


class Prepared:
    """A measurement under preparation; what it needs is given back on leaving the context."""

    def __init__(self, prepare: Prepare) -> None:
        self._here, there = FORK.Pipe()
        self._process = FORK.Process(target=_serve, args=(prepare, self._here, there))
        self._process.start()
        there.close()

    def __enter__(self) -> "Prepared":
        return self

    def __exit__(self, *_: object) -> None:
        self._here.close()
        self._process.join()

    def wait(self) -> None:
        """Wait until it can be taken.

        Raises:
            RuntimeError: it failed.
        """
        self._received()

    def taken(self) -> Result:
        """Take the measurement.

        Raises:
            RuntimeError: it failed.
        """
        self._here.send(None)
        result: Result = self._received()
        return result

    def _received(self) -> Any:
        try:
            return self._here.recv()
        except EOFError:
            raise RuntimeError("a measurement failed: what its process printed says why") from None


def _serve(prepare: Prepare, here: "Connection[Any, Any]", there: "Connection[Any, Any]") -> None:
    here.close()
    with prepare() as measure:
        try:
            there.send(None)
            there.recv()
        except (EOFError, OSError):
            return
        there.send(measure())
