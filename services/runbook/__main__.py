"""Starts the runbook service."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import grpc
from sqlalchemy import Engine

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.runbook_service_pb2_grpc import add_RunbookServiceServicer_to_server
from services.chassis.channel import call_metadata, open_channel
from services.chassis.server import Service, serve
from services.chassis.telemetry import configure_logging
from services.runbook.adapters.actuators.flagd_sync import FlagBoard
from services.runbook.adapters.anchor_file import AnchorFile
from services.runbook.adapters.anchor_webhook import AnchorWebhook
from services.runbook.adapters.anchorer import Anchorer
from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.expirer import Expirer
from services.runbook.adapters.flag_sync_servicer import (
    FLAG_SYNC,
    FlagSyncServicer,
    add_flag_sync_to_server,
)
from services.runbook.adapters.grpc_access import ACCESS
from services.runbook.adapters.grpc_errors import ERRORS
from services.runbook.adapters.grpc_lineage import GrpcLineage
from services.runbook.adapters.grpc_servicer import RunbookServicer
from services.runbook.adapters.grpc_shifts import GrpcShiftFeed
from services.runbook.adapters.grpc_timeline import GrpcTimeline
from services.runbook.adapters.heeder import Heeder
from services.runbook.adapters.listener import Listener
from services.runbook.adapters.memory_anchors import MemoryAnchors
from services.runbook.adapters.remote_systems import RemoteSystems, open_remote_systems
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_killed_features import SqlKilledFeatures
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.adapters.sqlite_checkpointer import SqliteCheckpointer
from services.runbook.adapters.system_clock import SystemClock
from services.runbook.adapters.teller import Teller
from services.runbook.adapters.worker import Worker
from services.runbook.adapters.yaml_policies import YamlPolicies, YamlRuleReader
from services.runbook.anchor_audit import AnchorAudit
from services.runbook.approve import Approve
from services.runbook.claim_surface import ClaimSurface
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.expire import Expire
from services.runbook.heed import Heed
from services.runbook.open import Open
from services.runbook.pause import SetPause
from services.runbook.ports import Anchors, PolicySource
from services.runbook.record_surface import RecordSurface
from services.runbook.reject import Reject
from services.runbook.release import Release
from services.runbook.renew import Renew
from services.runbook.replay_policy import ReplayPolicy
from services.runbook.revert import Revert
from services.runbook.settings import RunbookSettings
from services.runbook.snooze import Snooze
from services.runbook.tell import Tell
from services.runbook.verify_audit import VerifyAudit
from services.runbook.wiring import Parts, bells, lanes


def main() -> None:
    """Migrate the database and serve until SIGTERM or SIGINT."""
    settings = RunbookSettings()
    configure_logging(settings)
    try:
        policies = YamlPolicies(settings.policies, CelConditions())
    except InvalidPolicy as error:
        sys.exit(str(error))
    engine = open_engine(settings.database_url)
    upgrade(engine)
    try:
        asyncio.run(_serve(settings, policies, engine))
    finally:
        engine.dispose()


async def _serve(settings: RunbookSettings, policies: PolicySource, engine: Engine) -> None:
    transactions = SqlTransactions(engine)
    changes, rung = ChangeSignal(), bells()
    killed = SqlKilledFeatures(transactions)
    remote = _remote(settings)
    attribution = settings.attribution_address
    parts = Parts(
        settings=settings,
        store=SqlStore(transactions, changes, rung),
        changes=changes,
        bells=rung,
        killed=killed,
        board=FlagBoard(killed),
        policies=policies,
        clock=SystemClock(),
        anchors=_anchors(settings, remote),
        remote=remote,
        aggregator=open_channel(settings.aggregator_address, settings),
        attribution=open_channel(attribution, settings) if attribution else None,
    )
    service = Service(
        names=[pb.DESCRIPTOR.services_by_name["RunbookService"].full_name, FLAG_SYNC],
        register=lambda server: _register(parts, server),
        errors=ERRORS,
        access=ACCESS,
        background=[*_background(parts), *_chores(engine)],
    )
    try:
        await serve(service, settings)
    finally:
        for channel in filter(None, (parts.aggregator, parts.attribution)):
            await channel.close()
        await remote.close()


def _remote(settings: RunbookSettings) -> RemoteSystems:
    token, secret = settings.mlflow_token, settings.webhook_secret
    return open_remote_systems(
        mlflow_url=settings.mlflow_url,
        mlflow_alias=settings.mlflow_alias,
        mlflow_token=token.get_secret_value() if token else None,
        webhook_url=settings.webhook_url,
        webhook_secret=secret.get_secret_value() if secret else None,
        clock=SystemClock(),
    )


def _anchors(settings: RunbookSettings, remote: RemoteSystems) -> Anchors:
    file = settings.audit_anchor_file
    kept: Anchors = AnchorFile(file) if file else MemoryAnchors()
    if remote.webhook is None or not settings.audit_anchor_webhook:
        return kept
    return AnchorWebhook(remote.webhook, kept)


def _register(parts: Parts, server: grpc.aio.Server) -> None:
    reader = YamlRuleReader(CelConditions())
    servicer = RunbookServicer(
        store=parts.store,
        changes=parts.changes,
        approve=Approve(parts.store, parts.policies, parts.clock),
        reject=Reject(parts.store, parts.clock),
        revert=Revert(parts.store, parts.clock),
        renew=Renew(parts.store, parts.policies, parts.clock),
        release=Release(parts.store, parts.policies, parts.clock),
        set_pause=SetPause(parts.store, parts.clock),
        snooze=Snooze(parts.store, parts.clock),
        claim_surface=ClaimSurface(parts.store, parts.clock),
        record_surface=RecordSurface(parts.store),
        reader=reader,
        replay_policy=ReplayPolicy(parts.store, reader),
        verify_audit=VerifyAudit(parts.store, parts.anchors),
    )
    add_RunbookServiceServicer_to_server(servicer, server)
    add_flag_sync_to_server(FlagSyncServicer(parts.board), server)


def _background(parts: Parts) -> Sequence[Callable[[], Awaitable[None]]]:
    store, clock = parts.store, parts.clock
    feed = GrpcShiftFeed(parts.aggregator, call_metadata(parts.settings))
    lease = timedelta(seconds=parts.settings.lease_seconds)
    workers = [
        Worker(store, clock, parts.bells[next(iter(table))], table, lease) for table in lanes(parts)
    ]
    return [
        Listener(store, feed, Open(store, clock)).run,
        *(worker.run for worker in workers),
        Expirer(Expire(store, clock)).run,
        Anchorer(AnchorAudit(store, parts.anchors, clock), parts.settings.audit_anchor_seconds).run,
        _teller(parts).run,
        _heeder(parts).run,
        parts.board.follow,
        parts.changes.close_when_cancelled,
    ]


def _teller(parts: Parts) -> Teller:
    timeline = GrpcTimeline(parts.aggregator, call_metadata(parts.settings))
    return Teller(Tell(parts.store, timeline), parts.clock, parts.changes)


def _heeder(parts: Parts) -> Heeder:
    lineage = GrpcLineage(parts.aggregator, call_metadata(parts.settings))
    heed = Heed(parts.store, parts.policies, lineage, parts.clock)
    return Heeder(heed, parts.settings.finding_seconds)


def _chores(engine: Engine) -> Sequence[Callable[[], Awaitable[None]]]:
    return [SqliteCheckpointer(engine).run] if engine.dialect.name == "sqlite" else []


if __name__ == "__main__":
    main()
