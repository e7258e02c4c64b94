"""Audits and reports as JSON files in a folder."""

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from services.audit.adapters.json_codec import AUDIT, REPORT
from services.audit.adapters.memory_audits import check_done, found, page
from services.audit.domain.audit import Audit
from services.audit.domain.errors import AuditNotDone, CannotKeep
from services.audit.domain.report import AuditReport

_log = logging.getLogger(__name__)
_REPORT = ".report.json"
_SCRATCH = ".tmp"


class FileAudits:
    """An AuditRepository that outlives the process; one process at a time.

    Each file appears whole. How far an audit is stays in memory: after a death it is interrupted
    wherever it was. Of ended audits beyond `most_kept`, the oldest are dropped.
    """

    def __init__(self, folder: Path, most_kept: int) -> None:
        """Read what the folder holds. Blocks.

        Raises:
            OSError: the folder cannot be made, read or written.
        """
        self._folder = folder
        self._most_kept = most_kept
        self._lock = asyncio.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for scratch in folder.glob(f"*{_SCRATCH}"):
            scratch.unlink(missing_ok=True)
        _replace(folder / "writable", b"")
        (folder / "writable").unlink()
        self._audits = {audit.name: audit for audit in _kept(folder)}

    async def add(self, audit: Audit) -> Audit:
        """Keep an audit and return it, or the one that is there.

        Raises:
            CannotKeep: it cannot be written.
        """
        async with self._lock:
            if audit.name not in self._audits:
                await self._written(self._file(audit.name), AUDIT.dump_json(audit))
                self._audits[audit.name] = audit
                await asyncio.to_thread(self._drop_oldest)
            return self._audits[audit.name]

    async def get(self, name: str) -> Audit:
        """Return an audit."""
        return found(self._audits, name)

    async def report(self, name: str) -> AuditReport:
        """Return the report of an audit."""
        check_done(await self.get(name))
        try:
            content = await asyncio.to_thread(self._report_file(name).read_bytes)
            return REPORT.validate_json(content)
        except (OSError, ValidationError) as error:
            _log.exception("a report is gone", extra={"audit": name})
            raise AuditNotDone(
                f"the report of {name} is gone from the service's disk, or damaged: start the "
                "audit again under another request id"
            ) from error

    async def change(
        self, name: str, change: Callable[[Audit], Audit], report: AuditReport | None = None
    ) -> Audit:
        """Replace an audit by what `change` makes of it.

        One that ends without a report ends even where that cannot be written.

        Raises:
            CannotKeep: the report cannot be written; the audit is as it was.
        """
        # Who is cancelled meanwhile leaves nothing half written.
        return await asyncio.shield(self._change(name, change, report))

    async def newest(self, after: str | None, limit: int) -> Sequence[Audit]:
        """Return audits, newest first."""
        return page(self._audits, after, limit)

    async def _change(
        self, name: str, change: Callable[[Audit], Audit], report: AuditReport | None
    ) -> Audit:
        async with self._lock:
            before = await self.get(name)
            changed = change(before)
            if report is not None:
                await self._written(self._report_file(name), REPORT.dump_json(report))
            self._audits[name] = changed
            if changed.state.is_final and changed != before:
                try:
                    await self._written(self._file(name), AUDIT.dump_json(changed))
                except CannotKeep:
                    _log.exception("how an audit ended is not kept", extra={"audit": name})
            return changed

    async def _written(self, file: Path, content: bytes) -> None:
        try:
            await asyncio.to_thread(_replace, file, content)
        except OSError as error:
            raise CannotKeep(
                f"audits cannot be kept in {self._folder} on the service's disk: {error.strerror}; "
                "make room there, or set AFTERSHOCK_AUDIT_DATA to a folder that can be written"
            ) from error

    def _drop_oldest(self) -> None:
        ended = [audit for audit in self._audits.values() if audit.state.is_final]
        ended.sort(key=lambda audit: audit.create_time)
        for audit in ended[: max(0, len(self._audits) - self._most_kept)]:
            del self._audits[audit.name]
            for file in (self._file(audit.name), self._report_file(audit.name)):
                file.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name.removeprefix('audits/')}.json"

    def _report_file(self, name: str) -> Path:
        return self._folder / f"{name.removeprefix('audits/')}{_REPORT}"


def claim(folder: Path) -> IO[bytes]:
    """Keep other processes from keeping their audits in a folder, until what is returned closes.

    Raises:
        OSError: another process has claimed it, or it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    claimed = (folder / "claimed").open("wb")
    try:
        fcntl.flock(claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claimed.close()
        raise
    return claimed


def _kept(folder: Path) -> Iterator[Audit]:
    """Yield the audits in a folder; what is damaged stays where it is."""
    for file in folder.glob("*.json"):
        if file.name.endswith(_REPORT):
            continue
        try:
            yield AUDIT.validate_json(file.read_bytes())
        except ValidationError:
            _log.exception("a file is no audit: it is left alone", extra={"file": str(file)})


def _replace(file: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, even after a loss of power."""
    scratch = file.with_suffix(_SCRATCH)
    try:
        with scratch.open("wb") as writer:
            writer.write(content)
            writer.flush()
            os.fsync(writer.fileno())
        scratch.replace(file)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
