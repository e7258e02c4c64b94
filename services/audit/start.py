"""Takes an audit on."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from services.audit.domain.audit import Audit, audit_name
from services.audit.domain.errors import AuditNotFound, InvalidParameters
from services.audit.domain.parameters import AuditParameters, SnapshotFile
from services.audit.ports import AuditRepository, Queue, SnapshotSource


@dataclass(frozen=True)
class Start:
    """Keeps an audit and has it carried out, once a request."""

    audits: AuditRepository
    source: SnapshotSource
    queue: Queue

    async def __call__(
        self, request_id: str, snapshot: SnapshotFile, parameters: AuditParameters, seed: int
    ) -> Audit:
        """Return the audit that the request started, now or before.

        Raises:
            SnapshotRefused: a file may not be read.
            InvalidParameters: the request id has started another audit.
            NoRoom: as many audits wait as are taken on.
        """
        audit = Audit(audit_name(request_id), snapshot, parameters, seed, datetime.now(UTC))
        try:
            known = await self.audits.get(audit.name)
        except AuditNotFound:
            return await self._taken_on(audit)
        if (known.snapshot, known.parameters, known.seed) != (snapshot, parameters, seed):
            raise InvalidParameters(
                f"this request id has started {known.name}, of something else: take a new one",
                field="request_id",
            )
        return known

    async def _taken_on(self, audit: Audit) -> Audit:
        for file in _files(audit):
            await asyncio.to_thread(self.source.check, file)
        self.queue.check_room()
        kept = await self.audits.add(audit)
        self.queue.submit(kept.name)
        return kept


def _files(audit: Audit) -> Iterator[str]:
    parameters = audit.parameters
    yield audit.snapshot.file
    yield from (past.file for past in parameters.concentration.past)
    if parameters.insertion:
        yield parameters.insertion.examples_file
    if parameters.saliency:
        yield parameters.saliency.examples_file
    if parameters.thresholds:
        yield parameters.thresholds.file
