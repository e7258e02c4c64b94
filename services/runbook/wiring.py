"""Who carries out which work, and by which actuator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc

from services.chassis.channel import call_metadata
from services.runbook.act import Act
from services.runbook.adapters.actuators.by_kind import ByKind, ReleasesByKind
from services.runbook.adapters.actuators.dry_rollback import DryRollback
from services.runbook.adapters.actuators.dry_rows import DryRows
from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.actuators.mlflow_alias import MlflowAlias
from services.runbook.adapters.actuators.webhook import Webhook
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.grpc_importances import GrpcImportances
from services.runbook.adapters.grpc_lineage import GrpcLineage
from services.runbook.adapters.grpc_previewer import GrpcPreviewer
from services.runbook.adapters.grpc_watermarks import GrpcWatermarks
from services.runbook.adapters.no_previewer import NoPreviewer
from services.runbook.adapters.no_registry import NoRegistry
from services.runbook.adapters.remote_systems import RemoteSystems
from services.runbook.adapters.webhook_pager import WebhookPager
from services.runbook.adapters.worker import WorkTable
from services.runbook.consider import Consider
from services.runbook.domain.plan import MitigationKind
from services.runbook.domain.work import WorkKind
from services.runbook.escalate import Escalate
from services.runbook.expose import Expose
from services.runbook.lapse import Lapse
from services.runbook.page import Page
from services.runbook.ports import (
    Actuator,
    Anchors,
    Clock,
    KilledFeatures,
    Pager,
    PolicySource,
    Previewer,
    Store,
)
from services.runbook.propose import Propose
from services.runbook.settings import RunbookSettings
from services.runbook.verify import Verify

_ON_SERVING = frozenset(kind for kind in MitigationKind if kind.is_on_serving)
_ON_ROWS = frozenset(kind for kind in MitigationKind if kind.is_on_rows)


@dataclass(frozen=True)
class Parts:
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


def bells() -> Mapping[WorkKind, ChangeSignal]:
    """Return what wakes the worker of each kind of work; those of one lane share a bell."""
    proposing, judging, acting, calling = (ChangeSignal() for _ in range(4))
    return {
        WorkKind.PROPOSE: proposing,
        WorkKind.PAGE: calling,
        **dict.fromkeys((WorkKind.VERIFY, WorkKind.ESCALATE, WorkKind.LAPSE), judging),
        **dict.fromkeys((WorkKind.APPLY, WorkKind.REVERT, WorkKind.EXPOSE), acting),
    }


def lanes(parts: Parts) -> Sequence[WorkTable]:
    """Return who carries out which work.

    A preview may take its time, and so may what later windows say and who is called; what an expert
    decided waits behind none of them.
    """
    store, policies, clock = parts.store, parts.policies, parts.clock
    metadata = call_metadata(parts.settings)
    watermarks = GrpcWatermarks(parts.aggregator, metadata)
    on_serving = ReleasesByKind({kind: _on_serving(parts, kind) for kind in _ON_SERVING})
    actuator = _actuator(parts, on_serving)
    patience = parts.settings.lease_seconds / 2
    act = Act(
        store=store,
        actuator=actuator,
        releases=on_serving,
        policies=policies,
        watermarks=watermarks,
        clock=clock,
        most_attempts=parts.settings.most_attempts,
        patience=patience,
    )
    importances = GrpcImportances(parts.aggregator, metadata)
    page = Page(store, _pager(parts), clock, parts.settings.most_attempts)
    return (
        {WorkKind.PROPOSE: _propose(parts, actuator.kinds)},
        {WorkKind.PAGE: page},
        {
            WorkKind.VERIFY: Verify(store, policies, importances, clock),
            WorkKind.ESCALATE: Escalate(store, policies, clock),
            WorkKind.LAPSE: Lapse(store, policies, clock),
        },
        {
            WorkKind.APPLY: act,
            WorkKind.REVERT: act,
            WorkKind.EXPOSE: Expose(store, actuator, on_serving, watermarks, clock, patience),
        },
    )


def _propose(parts: Parts, able: frozenset[MitigationKind]) -> Propose:
    metadata = call_metadata(parts.settings)
    previewer: Previewer = NoPreviewer("no attribution service is configured")
    if parts.attribution is not None:
        previewer = GrpcPreviewer(parts.aggregator, parts.attribution, metadata)
    return Propose(
        store=parts.store,
        policies=parts.policies,
        consider=Consider(previewer),
        registry=parts.remote.registry or NoRegistry(),
        lineage=GrpcLineage(parts.aggregator, metadata),
        clock=parts.clock,
        approval_time=timedelta(minutes=parts.settings.approval_minutes),
        able=able,
    )


def _pager(parts: Parts) -> Pager | None:
    webhook = parts.remote.webhook
    return WebhookPager(webhook) if webhook and parts.settings.webhook_calls else None


def _on_serving(parts: Parts, kind: MitigationKind) -> DryRun | FlagdSync | Webhook:
    if parts.settings.dry_run:
        return DryRun()
    if parts.remote.webhook and kind in parts.settings.webhook_kinds:
        return Webhook(parts.remote.webhook)
    return FlagdSync(parts.killed, parts.board)


def _actuator(parts: Parts, on_serving: Actuator) -> ByKind:
    rollback, remote = MitigationKind.CHECKPOINT_ROLLBACK, parts.remote
    by_kind: dict[MitigationKind, Actuator] = dict.fromkeys(_ON_SERVING, on_serving)
    if parts.settings.dry_run:
        by_kind |= dict.fromkeys(_ON_ROWS, DryRows())
    elif remote.webhook:
        by_kind |= dict.fromkeys(_ON_ROWS & parts.settings.webhook_kinds, Webhook(remote.webhook))
    if parts.settings.dry_run:
        by_kind[rollback] = DryRollback()
    elif remote.webhook and rollback in parts.settings.webhook_kinds:
        by_kind[rollback] = Webhook(remote.webhook)
    elif remote.registry:
        by_kind[rollback] = MlflowAlias(remote.registry)
    return ByKind(by_kind)
