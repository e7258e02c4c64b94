"""Starts the runbook service."""

import asyncio
from datetime import timedelta
from pathlib import Path

import grpc
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.runbook_service_pb2_grpc import add_RunbookServiceServicer_to_server
from services.chassis.channel import call_metadata, open_channel
from services.chassis.server import Service, serve
from services.chassis.settings import ServiceSettings
from services.chassis.telemetry import configure_logging
from services.runbook.act import Act
from services.runbook.adapters import flag_sync_servicer
from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.expirer import Expirer
from services.runbook.adapters.grpc_access import ACCESS
from services.runbook.adapters.grpc_errors import ERRORS
from services.runbook.adapters.grpc_previewer import GrpcPreviewer
from services.runbook.adapters.grpc_servicer import RunbookServicer
from services.runbook.adapters.grpc_shifts import GrpcShiftFeed
from services.runbook.adapters.grpc_watermarks import GrpcWatermarks
from services.runbook.adapters.listener import Listener
from services.runbook.adapters.no_previewer import NoPreviewer
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_killed_features import SqlKilledFeatures
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.adapters.system_clock import SystemClock
from services.runbook.adapters.worker import Worker
from services.runbook.adapters.yaml_policies import YamlPolicies
from services.runbook.approve import Approve
from services.runbook.domain.work import WorkKind
from services.runbook.expire import Expire
from services.runbook.open import Open
from services.runbook.ports import Previewer
from services.runbook.propose import Propose
from services.runbook.reject import Reject
from services.runbook.revert import Revert
from services.runbook.verify import Verify

_POLICIES = Path(__file__).parents[2] / "deploy" / "policies" / "threshold.yaml"


class RunbookSettings(ServiceSettings):
    """Settings, from the environment with the prefix AFTERSHOCK_RUNBOOK_."""

    model_config = SettingsConfigDict(env_prefix="AFTERSHOCK_RUNBOOK_", extra="forbid")

    database_url: str = "sqlite:///.aftershock/runbook.sqlite"
    """`sqlite:///path` or `postgresql://user:password@host/database`."""
    aggregator_address: str
    """Whose shifts are followed, `host:port`."""
    attribution_address: str | None = None
    """Who previews mitigations, `host:port`. None: proposals come without a preview."""
    policies: Path = _POLICIES
    """A YAML file, or a folder of them."""
    approval_minutes: float = Field(default=30.0, gt=0)
    """How long a proposal waits for an answer."""
    dry_run: bool = False
    """Pretend to act. The flags that were set before stay as they are."""
    lease_seconds: float = Field(default=30.0, ge=2.0)
    """After which another worker takes up what one has not finished."""
    most_attempts: int = Field(default=8, ge=1)
    """Of an action, before it is undone or given to a person."""


def main() -> None:
    """Migrate the database and serve until SIGTERM or SIGINT."""
    settings = RunbookSettings()
    configure_logging(settings)
    engine = open_engine(settings.database_url)
    upgrade(engine)
    try:
        asyncio.run(_serve(settings, SqlTransactions(engine)))
    finally:
        engine.dispose()


async def _serve(settings: RunbookSettings, transactions: SqlTransactions) -> None:
    changes = ChangeSignal()
    clock = SystemClock()
    store = SqlStore(transactions, changes)
    killed = SqlKilledFeatures(transactions)
    board = FlagBoard(killed)
    policies = YamlPolicies(settings.policies, CelConditions())
    metadata = call_metadata(settings)
    aggregator = open_channel(settings.aggregator_address, settings)
    lease = timedelta(seconds=settings.lease_seconds)

    propose = Propose(
        store=store,
        policies=policies,
        previewer=_previewer(settings, aggregator),
        clock=clock,
        approval_time=timedelta(minutes=settings.approval_minutes),
    )
    act = Act(
        store=store,
        actuator=DryRun() if settings.dry_run else FlagdSync(killed, board),
        policies=policies,
        watermarks=GrpcWatermarks(aggregator, metadata),
        clock=clock,
        most_attempts=settings.most_attempts,
        patience=settings.lease_seconds / 2,
    )
    verify = Verify(store, policies, clock)
    # A preview may take its time; what an expert decided does not wait behind it.
    proposer = Worker(store, clock, changes, {WorkKind.PROPOSE: propose}, lease)
    actor = Worker(
        store,
        clock,
        changes,
        {WorkKind.APPLY: act, WorkKind.REVERT: act, WorkKind.VERIFY: verify},
        lease,
    )
    listener = Listener(store, GrpcShiftFeed(aggregator, metadata), Open(store, clock))
    servicer = RunbookServicer(
        store=store,
        changes=changes,
        approve=Approve(store, clock),
        reject=Reject(store, clock),
        revert=Revert(store, clock),
    )
    flags = flag_sync_servicer.FlagSyncServicer(board)

    def register(server: grpc.aio.Server) -> None:
        add_RunbookServiceServicer_to_server(servicer, server)
        flag_sync_servicer.add_flag_sync_to_server(flags, server)

    service = Service(
        names=[
            pb.DESCRIPTOR.services_by_name["RunbookService"].full_name,
            flag_sync_servicer.SERVICE,
        ],
        register=register,
        errors=ERRORS,
        access=ACCESS,
        background=[
            listener.run,
            proposer.run,
            actor.run,
            Expirer(Expire(store, clock)).run,
            board.follow,
            changes.close_when_cancelled,
        ],
    )
    try:
        await serve(service, settings)
    finally:
        await aggregator.close()


def _previewer(settings: RunbookSettings, aggregator: grpc.aio.Channel) -> Previewer:
    if settings.attribution_address is None:
        return NoPreviewer("no attribution service is configured")
    attribution = open_channel(settings.attribution_address, settings)
    return GrpcPreviewer(aggregator, attribution, call_metadata(settings))


if __name__ == "__main__":
    main()
