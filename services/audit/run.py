"""Carries out one audit: the snapshot, then the checkpoints, then what lies downstream."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.audit.ask_checkpoints import AskCheckpoints
from services.audit.domain.audit import Audit, AuditState, Failure
from services.audit.domain.errors import AuditError
from services.audit.domain.news import news_of
from services.audit.domain.report import AuditReport
from services.audit.domain.severity import assessed
from services.audit.ports import Analyst, AuditRepository, Lineage


@dataclass(frozen=True)
class Run:
    """Has an audit's report made, whatever comes of it kept."""

    audits: AuditRepository
    analyst: Analyst
    checkpoints: AskCheckpoints
    lineage: Lineage

    async def __call__(self, name: str) -> None:
        """Carry an audit out. Cancelled, it ends as INTERRUPTED unless somebody cancelled it."""
        try:
            audit = await self._at(name, 0.0, "begins")
            if not audit.state.is_final:
                report = await self._report(audit)
                await self._done(name, report)
        except asyncio.CancelledError:
            await self._end(name, AuditState.INTERRUPTED)
            raise
        except AuditError as error:
            await self._end(name, AuditState.FAILED, Failure.of(error))
        except Exception:
            failure = Failure("AuditError", "internal error; the service's log has the details")
            await self._end(name, AuditState.FAILED, failure)
            raise

    async def _report(self, audit: Audit) -> AuditReport:
        async def progress(share: float, stage: str) -> None:
            await self._at(audit.name, 0.8 * share, stage)

        report = await self.analyst.analyse(audit, progress)
        await progress(1.0, "asking checkpoints")
        report = await self.checkpoints(audit, report)
        node = audit.parameters.lineage_node
        if node is None:
            return assessed(report, model_count=None)
        await self._at(audit.name, 0.95, "looking downstream")
        return await self._with_lineage(audit, report, node)

    async def _with_lineage(self, audit: Audit, report: AuditReport, node: str) -> AuditReport:
        count = await self.lineage.model_count(node)
        found = assessed(report, count)
        notes = list(found.notes)
        if count is None:
            notes.append(f"what lies downstream of {node} is not known: it counts as one model")
        news = news_of(found)
        if news is not None and not await self.lineage.record(audit, news):
            count_told = len(news.findings)
            notes.append(f"{count_told} findings could not be put into the timeline of {node}")
        return replace(found, notes=tuple(notes))

    async def _at(self, name: str, share: float, stage: str) -> Audit:
        return await self.audits.change(name, lambda audit: audit.at(share, stage))

    async def _done(self, name: str, report: AuditReport) -> None:
        time, stage = datetime.now(UTC), _told(report)
        await self.audits.change(
            name, lambda audit: audit.ended(AuditState.DONE, time, stage=stage), report
        )

    async def _end(self, name: str, state: AuditState, failure: Failure | None = None) -> None:
        time = datetime.now(UTC)
        await self.audits.change(name, lambda audit: audit.ended(state, time, failure))


def _told(report: AuditReport) -> str:
    """Return how the audit ended."""
    if not report.missing_tests:
        return "done"
    return f"done, without {', '.join(missing.test.value for missing in report.missing_tests)}"
