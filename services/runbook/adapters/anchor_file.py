"""Anchors as lines of JSON in a file, which belongs on another machine's disk."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from services.runbook.domain.audit import Anchor
from services.runbook.domain.errors import AnchorsUnavailable

_ANCHOR = TypeAdapter(Anchor)


class AnchorFile:
    """Only ever appended to, a whole line at a time. Replicas may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def append(self, anchor: Anchor) -> None:
        """Write a line and wait until the disk has it. Raises AnchorsUnavailable."""
        await asyncio.to_thread(self._append, _ANCHOR.dump_json(anchor) + b"\n")

    async def last(self) -> Anchor | None:
        """Return the last line's anchor. Raises AnchorsUnavailable."""
        anchors = await self.read()
        return anchors[-1] if anchors else None

    async def read(self) -> Sequence[Anchor]:
        """Return every anchor, oldest first. Raises AnchorsUnavailable."""
        return await asyncio.to_thread(self._read)

    def _append(self, line: bytes) -> None:
        try:
            # One write to the end: lines of several replicas never mix.
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                written = os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise AnchorsUnavailable(f"{self._path} cannot be written: {error}") from error
        if written != len(line):
            raise AnchorsUnavailable(f"{self._path} took only part of an anchor: is the disk full?")

    def _read(self) -> Sequence[Anchor]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise AnchorsUnavailable(f"{self._path} cannot be read: {error}") from error
        anchors = []
        for number, line in enumerate(lines, start=1):
            try:
                anchors.append(_ANCHOR.validate_json(line))
            except ValidationError as error:
                raise AnchorsUnavailable(
                    f"line {number} of {self._path} is no anchor: remove it if a full disk or a "
                    "crash cut it short, and ask who wrote it if not"
                ) from error
        return anchors
