"""Audits and reports as JSON files in a folder."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from services.audit.adapters.json_codec import AUDIT, REPORT
from services.audit.adapters.memory_audits import check_done, found, page
from services.audit.domain.audit import Audit
from services.audit.domain.report import AuditReport

_REPORT = ".report.json"


class FileAudits:
    """An AuditRepository that outlives the process; one process at a time.

    Each file appears whole. Of ended audits beyond `most_kept`, the oldest are dropped.
    """

    def __init__(self, folder: Path, most_kept: int) -> None:
        """Read what the folder holds. Blocks."""
        self._folder = folder
        self._most_kept = most_kept
        self._lock = asyncio.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        files = [file for file in folder.glob("*.json") if not file.name.endswith(_REPORT)]
        kept = [AUDIT.validate_json(file.read_bytes()) for file in files]
        self._audits = {audit.name: audit for audit in kept}

    async def add(self, audit: Audit) -> Audit:
        """Keep an audit and return it, or the one that is there."""
        async with self._lock:
            if audit.name not in self._audits:
                await self._write(audit)
                await self._drop_oldest()
            return self._audits[audit.name]

    async def get(self, name: str) -> Audit:
        """Return an audit."""
        return found(self._audits, name)

    async def report(self, name: str) -> AuditReport:
        """Return the report of an audit."""
        check_done(await self.get(name))
        return REPORT.validate_json(await asyncio.to_thread(self._report_file(name).read_bytes))

    async def change(
        self, name: str, change: Callable[[Audit], Audit], report: AuditReport | None = None
    ) -> Audit:
        """Replace an audit by what `change` makes of it."""
        async with self._lock:
            changed = change(await self.get(name))
            if report is not None:
                content = REPORT.dump_json(report)
                await asyncio.to_thread(_replace, self._report_file(name), content)
            await self._write(changed)
            return changed

    async def newest(self, after: str | None, limit: int) -> Sequence[Audit]:
        """Return audits, newest first."""
        return page(self._audits, after, limit)

    async def _write(self, audit: Audit) -> None:
        await asyncio.to_thread(_replace, self._file(audit.name), AUDIT.dump_json(audit))
        self._audits[audit.name] = audit

    async def _drop_oldest(self) -> None:
        ended = [audit for audit in self._audits.values() if audit.state.is_final]
        ended.sort(key=lambda audit: audit.create_time)
        for audit in ended[: max(0, len(self._audits) - self._most_kept)]:
            del self._audits[audit.name]
            for file in (self._file(audit.name), self._report_file(audit.name)):
                await asyncio.to_thread(file.unlink, missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name.removeprefix('audits/')}.json"

    def _report_file(self, name: str) -> Path:
        return self._folder / f"{name.removeprefix('audits/')}{_REPORT}"


def _replace(file: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, even after a loss of power."""
    scratch = file.with_suffix(".tmp")
    with scratch.open("wb") as writer:
        writer.write(content)
        writer.flush()
        os.fsync(writer.fileno())
    scratch.replace(file)
