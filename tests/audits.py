"""A served audit service, and what to say to it."""

import asyncio
from pathlib import Path
from typing import Any

import grpc

from aftershock.v1 import audit_pb2, audit_service_pb2
from aftershock.v1.audit_service_pb2_grpc import (
    AuditServiceStub,
    add_AuditServiceServicer_to_server,
)
from services.audit.adapters.file_audits import FileAudits
from services.audit.adapters.grpc_access import ACCESS
from services.audit.adapters.grpc_errors import ERRORS
from services.audit.adapters.grpc_servicer import AuditServicer
from services.audit.adapters.no_checkpoints import NoCheckpoints
from services.audit.adapters.parquet_snapshots import ParquetSnapshots
from services.audit.adapters.task_queue import TaskQueue
from services.audit.adapters.thread_analyst import ThreadAnalyst
from services.audit.adapters.unknown_lineage import UnknownLineage
from services.audit.analyse import Analyse
from services.audit.ask_checkpoints import AskCheckpoints
from services.audit.cancel import Cancel
from services.audit.compare import Compare
from services.audit.ports import Analyst, CheckpointTests, Lineage
from services.audit.run import Run
from services.audit.start import Start
from services.audit.try_checkpoints import TryCheckpoints
from services.chassis.server import Service, bind, build_server
from services.chassis.settings import ServiceSettings

_ENDED = frozenset(
    {
        audit_pb2.AUDIT_STATE_DONE,
        audit_pb2.AUDIT_STATE_FAILED,
        audit_pb2.AUDIT_STATE_CANCELLED,
        audit_pb2.AUDIT_STATE_INTERRUPTED,
    }
)

Stub = Any


class ServedAudits:
    """Serves audits of what lies under a folder."""

    def __init__(
        self,
        root: Path,
        *,
        analyst: Analyst | None = None,
        checkpoints: CheckpointTests | None = None,
        lineage: Lineage | None = None,
        most_waiting: int = 4,
    ) -> None:
        source = ParquetSnapshots([root])
        audits = FileAudits(root / "audits", most_kept=100)
        tests = checkpoints or NoCheckpoints()
        run = Run(
            audits=audits,
            analyst=analyst or ThreadAnalyst(Analyse(source)),
            checkpoints=AskCheckpoints(source, tests),
            lineage=lineage or UnknownLineage(),
        )
        self._queue = TaskQueue(run, at_once=1, most_waiting=most_waiting)
        self._servicer = AuditServicer(
            audits=audits,
            start=Start(audits, source, TryCheckpoints(source, tests), self._queue),
            cancel=Cancel(audits, self._queue),
            compare=Compare(audits),
        )

    async def __aenter__(self) -> Stub:
        settings = ServiceSettings()
        service = Service(
            names=[],
            register=lambda s: add_AuditServiceServicer_to_server(self._servicer, s),
            errors=ERRORS,
            access=ACCESS,
        )
        self._draining = asyncio.create_task(self._queue.drain())
        self._server = build_server(service, settings)
        self.address = bind(self._server, settings)
        await self._server.start()
        self._channel = grpc.aio.insecure_channel(self.address)
        return AuditServiceStub(self._channel)

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
        self._draining.cancel()
        await asyncio.gather(self._draining, return_exceptions=True)
        await self._server.stop(0)


def request_of(
    file: Path, request_id: str = "first", *, outcome: str = "", **parameters: Any
) -> audit_service_pb2.StartAuditRequest:
    """Return a request to audit rows."""
    rows = audit_pb2.LabelRowsFile(file=str(file), outcome_column=outcome)
    return audit_service_pb2.StartAuditRequest(
        request_id=request_id,
        snapshot=audit_pb2.AuditSnapshot(rows=rows),
        parameters=audit_pb2.AuditParameters(**parameters),
        seed=5,
    )


async def reached(stub: Stub, name: str, *states: int) -> audit_service_pb2.GetAuditResponse:
    """Return an audit once it is in one of the states."""
    while True:
        request = audit_service_pb2.GetAuditRequest(name=name)
        found: audit_service_pb2.GetAuditResponse = await stub.GetAudit(request, timeout=10)
        if found.audit.state in states:
            return found
        await asyncio.sleep(0.02)


async def ended(stub: Stub, name: str) -> audit_service_pb2.GetAuditResponse:
    """Return an audit once it has ended."""
    return await reached(stub, name, *_ENDED)


async def finished(
    stub: Stub, request: audit_service_pb2.StartAuditRequest
) -> audit_service_pb2.GetAuditResponse:
    """Start an audit and return it once it has ended."""
    started = await stub.StartAudit(request, timeout=10)
    return await ended(stub, started.audit.name)
