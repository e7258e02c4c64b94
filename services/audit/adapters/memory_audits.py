"""Audits in this process's memory."""

import asyncio
from collections.abc import Callable, Sequence

from services.audit.domain.audit import Audit, AuditState
from services.audit.domain.errors import AuditNotDone, AuditNotFound, InvalidParameters
from services.audit.domain.report import AuditReport


class MemoryAudits:
    """An AuditRepository that forgets everything when the process ends."""

    def __init__(self) -> None:
        self._audits: dict[str, Audit] = {}
        self._reports: dict[str, AuditReport] = {}
        self._lock = asyncio.Lock()

    async def add(self, audit: Audit) -> Audit:
        """Keep an audit and return it, or the one that is there."""
        return self._audits.setdefault(audit.name, audit)

    async def get(self, name: str) -> Audit:
        """Return an audit."""
        return found(self._audits, name)

    async def report(self, name: str) -> AuditReport:
        """Return the report of an audit."""
        check_done(await self.get(name))
        return self._reports[name]

    async def change(
        self, name: str, change: Callable[[Audit], Audit], report: AuditReport | None = None
    ) -> Audit:
        """Replace an audit by what `change` makes of it."""
        async with self._lock:
            changed = change(await self.get(name))
            if report is not None:
                self._reports[name] = report
            self._audits[name] = changed
            return changed

    async def newest(self, after: str | None, limit: int) -> Sequence[Audit]:
        """Return audits, newest first."""
        return page(self._audits, after, limit)


def found(audits: dict[str, Audit], name: str) -> Audit:
    """Return an audit by name.

    Raises:
        AuditNotFound: there is none of that name.
    """
    if name not in audits:
        raise AuditNotFound(f"there is no {name}: ListAudits shows those there are", field="name")
    return audits[name]


def check_done(audit: Audit) -> None:
    """Check that an audit has a report.

    Raises:
        AuditNotDone: it has none, or none yet.
    """
    if audit.state is not AuditState.DONE:
        raise AuditNotDone(f"{audit.name} is {audit.state.value.lower()}: it has no report")


def page(audits: dict[str, Audit], after: str | None, limit: int) -> Sequence[Audit]:
    """Return audits, newest first, from behind the one named `after`.

    Raises:
        InvalidParameters: there is none of that name, or no more.
    """
    ordered = sorted(audits.values(), key=lambda it: (it.create_time, it.name), reverse=True)
    if after is None:
        return ordered[:limit]
    if after not in audits:
        raise InvalidParameters(
            "not a next_page_token of an earlier response, or its audit is gone: list from the "
            "beginning",
            field="page_token",
        )
    start = ordered.index(audits[after]) + 1
    return ordered[start : start + limit]
