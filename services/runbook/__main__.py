"""Starts the runbook service."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

import grpc
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from sqlalchemy import Engine

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1.runbook_service_pb2_grpc import add_RunbookServiceServicer_to_server
from services.chassis.channel import call_metadata, open_channel
from services.chassis.server import Service, serve
from services.chassis.settings import ServiceSettings
from services.chassis.telemetry import configure_logging
from services.runbook.act import Act
from services.runbook.adapters.actuators.by_kind import ByKind
from services.runbook.adapters.actuators.dry_rollback import DryRollback
from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.actuators.mlflow_alias import MlflowAlias
from services.runbook.adapters.actuators.webhook import Webhook
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
from services.runbook.adapters.grpc_importances import GrpcImportances
from services.runbook.adapters.grpc_previewer import GrpcPreviewer
from services.runbook.adapters.grpc_servicer import RunbookServicer
from services.runbook.adapters.grpc_shifts import GrpcShiftFeed
from services.runbook.adapters.grpc_watermarks import GrpcWatermarks
from services.runbook.adapters.listener import Listener
from services.runbook.adapters.memory_anchors import MemoryAnchors
from services.runbook.adapters.no_previewer import NoPreviewer
from services.runbook.adapters.no_registry import NoRegistry
from services.runbook.adapters.remote_systems import RemoteSystems, open_remote_systems
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_killed_features import SqlKilledFeatures
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.adapters.sqlite_checkpointer import SqliteCheckpointer
from services.runbook.adapters.standard_webhook import secret_bytes
from services.runbook.adapters.system_clock import SystemClock
from services.runbook.adapters.worker import Worker, WorkTable
from services.runbook.adapters.yaml_policies import YamlPolicies, YamlRuleReader
from services.runbook.anchor_audit import AnchorAudit
from services.runbook.approve import Approve
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.domain.plan import MitigationKind
from services.runbook.domain.work import WorkKind
from services.runbook.escalate import Escalate
from services.runbook.expire import Expire
from services.runbook.expose import Expose
from services.runbook.lapse import Lapse
from services.runbook.open import Open
from services.runbook.pause import SetPause
from services.runbook.ports import (
    Actuator,
    Anchors,
    Clock,
    KilledFeatures,
    PolicySource,
    Previewer,
    Store,
)
from services.runbook.propose import Propose
from services.runbook.reject import Reject
from services.runbook.release import Release
from services.runbook.renew import Renew
from services.runbook.replay_policy import ReplayPolicy
from services.runbook.revert import Revert
from services.runbook.verify import Verify
from services.runbook.verify_audit import VerifyAudit

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
    mlflow_url: str | None = None
    """Registry that rollbacks go by; its alias is moved. None: nothing is rolled back."""
    mlflow_alias: str = Field(default="champion", min_length=1)
    """That model servers follow. A registered model has our model's id for a name."""
    mlflow_token: SecretStr | None = None
    """Sent as a bearer token."""
    webhook_url: str | None = None
    """Receiver that carries out the kinds of mitigation in `webhook_kinds`, in place of flags and
    the registry's alias."""
    webhook_secret: SecretStr | None = None
    """`whsec_` and base64, shared with the receiver."""
    webhook_kinds: frozenset[MitigationKind] = frozenset()
    """KILL_SWITCH, CHECKPOINT_ROLLBACK or both."""
    audit_anchor_file: Path | None = None
    """Where the audit's newest hash is appended, on a disk that the database's owner cannot change.
    None: anchors last as long as this process."""
    audit_anchor_webhook: bool = False
    """Send each anchor to the webhook's receiver, too."""
    audit_anchor_seconds: float = Field(default=60.0, gt=0)
    """Between two anchors: what is changed later than the next one is noticed."""
    most_attempts: int = Field(default=8, ge=1)
    """Of an action, before it is undone or given to a person."""

    @model_validator(mode="after")
    def _webhook_is_whole(self) -> Self:
        if (self.webhook_url is None) != (self.webhook_secret is None):
            raise ValueError("webhook_url and webhook_secret go together")
        if (self.webhook_kinds or self.audit_anchor_webhook) and self.webhook_url is None:
            raise ValueError("webhook_kinds and audit_anchor_webhook need webhook_url")
        if self.webhook_secret is not None:
            secret_bytes(self.webhook_secret.get_secret_value())
        return self


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


@dataclass(frozen=True)
class _Parts:
    """What the service is wired from."""

    settings: RunbookSettings
    store: Store
    changes: ChangeSignal
    bells: Mapping[WorkKind, ChangeSignal]
    killed: KilledFeatures
    board: FlagBoard
    policies: PolicySource
    clock: Clock
    anchors: Anchors
    remote: RemoteSystems
    aggregator: grpc.aio.Channel
    attribution: grpc.aio.Channel | None


async def _serve(settings: RunbookSettings, policies: PolicySource, engine: Engine) -> None:
    transactions = SqlTransactions(engine)
    changes, bells = ChangeSignal(), _bells()
    killed = SqlKilledFeatures(transactions)
    remote = _remote(settings)
    attribution = settings.attribution_address
    parts = _Parts(
        settings=settings,
        store=SqlStore(transactions, changes, bells),
        changes=changes,
        bells=bells,
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


def _register(parts: _Parts, server: grpc.aio.Server) -> None:
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
        reader=reader,
        replay_policy=ReplayPolicy(parts.store, reader),
        verify_audit=VerifyAudit(parts.store, parts.anchors),
    )
    add_RunbookServiceServicer_to_server(servicer, server)
    add_flag_sync_to_server(FlagSyncServicer(parts.board), server)


def _background(parts: _Parts) -> Sequence[Callable[[], Awaitable[None]]]:
    store, clock = parts.store, parts.clock
    feed = GrpcShiftFeed(parts.aggregator, call_metadata(parts.settings))
    lanes = _lanes(parts)
    lease = timedelta(seconds=parts.settings.lease_seconds)
    workers = [
        Worker(store, clock, parts.bells[next(iter(table))], table, lease) for table in lanes
    ]
    return [
        Listener(store, feed, Open(store, clock)).run,
        *(worker.run for worker in workers),
        Expirer(Expire(store, clock)).run,
        Anchorer(AnchorAudit(store, parts.anchors, clock), parts.settings.audit_anchor_seconds).run,
        parts.board.follow,
        parts.changes.close_when_cancelled,
    ]


def _chores(engine: Engine) -> Sequence[Callable[[], Awaitable[None]]]:
    return [SqliteCheckpointer(engine).run] if engine.dialect.name == "sqlite" else []


def _bells() -> Mapping[WorkKind, ChangeSignal]:
    """Return what wakes the worker of each kind of work; those of one lane share a bell."""
    proposing, judging, acting = ChangeSignal(), ChangeSignal(), ChangeSignal()
    return {
        WorkKind.PROPOSE: proposing,
        **dict.fromkeys((WorkKind.VERIFY, WorkKind.ESCALATE, WorkKind.LAPSE), judging),
        **dict.fromkeys((WorkKind.APPLY, WorkKind.REVERT, WorkKind.EXPOSE), acting),
    }


def _lanes(parts: _Parts) -> Sequence[WorkTable]:
    """Return who carries out which work.

    A preview may take its time, and so may what later windows say; what an expert decided waits
    behind neither.
    """
    store, policies, clock = parts.store, parts.policies, parts.clock
    metadata = call_metadata(parts.settings)
    kill_switches, watermarks = _kill_switches(parts), GrpcWatermarks(parts.aggregator, metadata)
    actuator = _actuator(parts, kill_switches)
    patience = parts.settings.lease_seconds / 2
    act = Act(
        store=store,
        actuator=actuator,
        releases=kill_switches,
        policies=policies,
        watermarks=watermarks,
        clock=clock,
        most_attempts=parts.settings.most_attempts,
        patience=patience,
    )
    importances = GrpcImportances(parts.aggregator, metadata)
    return (
        {WorkKind.PROPOSE: _propose(parts)},
        {
            WorkKind.VERIFY: Verify(store, policies, importances, clock),
            WorkKind.ESCALATE: Escalate(store, policies, clock),
            WorkKind.LAPSE: Lapse(store, policies, clock),
        },
        {
            WorkKind.APPLY: act,
            WorkKind.REVERT: act,
            WorkKind.EXPOSE: Expose(store, actuator, kill_switches, watermarks, clock, patience),
        },
    )


def _propose(parts: _Parts) -> Propose:
    metadata = call_metadata(parts.settings)
    previewer: Previewer = NoPreviewer("no attribution service is configured")
    if parts.attribution is not None:
        previewer = GrpcPreviewer(parts.aggregator, parts.attribution, metadata)
    return Propose(
        store=parts.store,
        policies=parts.policies,
        previewer=previewer,
        registry=parts.remote.registry or NoRegistry(),
        clock=parts.clock,
        approval_time=timedelta(minutes=parts.settings.approval_minutes),
    )


def _kill_switches(parts: _Parts) -> DryRun | FlagdSync | Webhook:
    if parts.settings.dry_run:
        return DryRun()
    if parts.remote.webhook and MitigationKind.KILL_SWITCH in parts.settings.webhook_kinds:
        return Webhook(parts.remote.webhook)
    return FlagdSync(parts.killed, parts.board)


def _actuator(parts: _Parts, kill_switches: Actuator) -> ByKind:
    rollback, remote = MitigationKind.CHECKPOINT_ROLLBACK, parts.remote
    by_kind: dict[MitigationKind, Actuator] = {MitigationKind.KILL_SWITCH: kill_switches}
    if parts.settings.dry_run:
        by_kind[rollback] = DryRollback()
    elif remote.webhook and rollback in parts.settings.webhook_kinds:
        by_kind[rollback] = Webhook(remote.webhook)
    elif remote.registry:
        by_kind[rollback] = MlflowAlias(remote.registry)
    return ByKind(by_kind)


if __name__ == "__main__":
    main()
