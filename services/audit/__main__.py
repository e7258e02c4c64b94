"""Starts the audit service; with the argument `analyse`, analyses one snapshot and ends."""

import asyncio
import logging
import os
import resource
import sys
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aftershock.v1 import audit_service_pb2 as pb
from aftershock.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from services.audit.adapters.file_audits import FileAudits, claim
from services.audit.adapters.grpc_access import ACCESS
from services.audit.adapters.grpc_checkpoint_tests import GrpcCheckpointTests
from services.audit.adapters.grpc_errors import ERRORS
from services.audit.adapters.grpc_lineage import GrpcLineage
from services.audit.adapters.grpc_servicer import AuditServicer
from services.audit.adapters.no_checkpoints import NoCheckpoints
from services.audit.adapters.parquet_snapshots import ParquetSnapshots
from services.audit.adapters.process_analyst import ProcessAnalyst, analysis_command, converse
from services.audit.adapters.task_queue import TaskQueue
from services.audit.adapters.unknown_lineage import UnknownLineage
from services.audit.analyse import Analyse
from services.audit.ask_checkpoints import AskCheckpoints
from services.audit.cancel import Cancel
from services.audit.compare import Compare
from services.audit.interrupt import Interrupt
from services.audit.ports import CheckpointTests, Lineage
from services.audit.run import Run
from services.audit.start import Start
from services.audit.try_checkpoints import TryCheckpoints
from services.chassis.channel import call_metadata, open_channel
from services.chassis.server import Service, serve
from services.chassis.settings import ServiceSettings
from services.chassis.telemetry import configure_logging

_log = logging.getLogger(__name__)
_START_SECONDS = 5.0
"""That whoever starts an audit waits for attribution."""


class AuditSettings(ServiceSettings):
    """Settings, from the environment with the prefix AFTERSHOCK_AUDIT_."""

    model_config = SettingsConfigDict(env_prefix="AFTERSHOCK_AUDIT_", extra="forbid")

    data: Path = Path(".aftershock/audits")
    """Folder that keeps audits and reports, of one process."""
    snapshot_roots: list[Path] = Field(default_factory=list)
    """Folders under which snapshots may be read from."""
    audits_at_once: int = Field(default=1, ge=1, le=64)
    """Audits that run at a time, each in a process of its own."""
    audits_waiting: int = Field(default=16, ge=0, le=4096)
    """Audits that wait; further ones are told to come back."""
    analysis_memory_bytes: int | None = Field(default=None, ge=256 * 1024 * 1024)
    """What the analysis of one audit may take (Linux). None: what there is."""
    attribution_address: str | None = None
    """Where checkpoints are tested, `host:port`. None: audits that ask for it are refused."""
    attribution_seconds: float = Field(default=900.0, gt=0)
    """How long a test of a checkpoint may take, attribution's absences included."""
    lineage_address: str | None = None
    """Who knows what lies downstream of a snapshot, `host:port`. None: nobody."""
    most_kept: int = Field(default=1000, ge=1)
    """Audits that are kept; of those that have ended, the oldest go first."""


def main() -> None:
    """Serve until SIGTERM or SIGINT, or analyse what standard input asks for."""
    settings = AuditSettings()
    configure_logging(settings)
    if sys.argv[1:] == ["analyse"]:
        _analyse(settings)
    else:
        try:
            claimed = claim(settings.data)
        except BlockingIOError:
            sys.exit(f"AFTERSHOCK_AUDIT_DATA: another process keeps its audits in {settings.data}")
        except OSError as error:
            sys.exit(f"AFTERSHOCK_AUDIT_DATA: audits cannot be kept there: {error}")
        with claimed:
            asyncio.run(_serve(settings))


def _analyse(settings: AuditSettings) -> None:
    most = settings.analysis_memory_bytes
    if most is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    source = ParquetSnapshots(settings.snapshot_roots)
    converse(Analyse(source), sys.stdin.buffer, sys.stdout.buffer)
    # A thread still reads standard input: an orderly end would wait for it.
    os._exit(0)


async def _serve(settings: AuditSettings) -> None:
    audits = FileAudits(settings.data, settings.most_kept)
    if interrupted := await Interrupt(audits)():
        _log.warning("audits were interrupted", extra={"count": interrupted})
    source = ParquetSnapshots(settings.snapshot_roots)
    patient, hasty = _checkpoint_tests(settings)
    run = Run(
        audits=audits,
        analyst=ProcessAnalyst(analysis_command()),
        checkpoints=AskCheckpoints(source, patient),
        lineage=_lineage(settings),
    )
    queue = TaskQueue(run, at_once=settings.audits_at_once, most_waiting=settings.audits_waiting)
    servicer = AuditServicer(
        audits=audits,
        start=Start(audits, source, TryCheckpoints(source, hasty), queue),
        cancel=Cancel(audits, queue),
        compare=Compare(audits),
    )
    service = Service(
        names=[pb.DESCRIPTOR.services_by_name["AuditService"].full_name],
        register=lambda server: add_AuditServiceServicer_to_server(servicer, server),
        errors=ERRORS,
        access=ACCESS,
        background=[queue.drain],
    )
    await serve(service, settings)


def _checkpoint_tests(settings: AuditSettings) -> tuple[CheckpointTests, CheckpointTests]:
    """Return tests for audits that run, and for those that somebody waits to see started."""
    if settings.attribution_address is None:
        return NoCheckpoints(), NoCheckpoints()
    channel = open_channel(settings.attribution_address, settings, retries=False)
    metadata = call_metadata(settings)
    return (
        GrpcCheckpointTests(channel, metadata, settings.attribution_seconds),
        GrpcCheckpointTests(channel, metadata, min(_START_SECONDS, settings.attribution_seconds)),
    )


def _lineage(settings: AuditSettings) -> Lineage:
    if settings.lineage_address is None:
        return UnknownLineage()
    return GrpcLineage(open_channel(settings.lineage_address, settings), call_metadata(settings))


if __name__ == "__main__":
    main()
