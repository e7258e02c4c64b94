"""A runbook of the builders, served by gRPC on loopback with tokens and a roster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from aftershock.v1.runbook_service_pb2_grpc import add_RunbookServiceServicer_to_server
from services.chassis.server import Service, bind, build_server
from services.chassis.settings import ServiceSettings
from services.chassis.tokens import Role, issue_token, new_key_pair
from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.grpc_access import ACCESS
from services.runbook.adapters.grpc_errors import ERRORS
from services.runbook.adapters.grpc_servicer import RunbookServicer
from services.runbook.adapters.memory_anchors import MemoryAnchors
from services.runbook.adapters.yaml_policies import YamlRuleReader
from services.runbook.ports import Store
from services.runbook.replay_policy import ReplayPolicy
from services.runbook.verify_audit import VerifyAudit
from tests.unit.services.runbook.builders import Runbook

PRIVATE, PUBLIC = new_key_pair()
ROSTER = """
[ada]
roles = ["reader", "approver"]
identities = ["slack:T1/UADA", "matrix:@ada:example.org", "memory:ada"]

[grace]
roles = ["reader", "approver"]
identities = ["slack:T1/UGRACE", "matrix:@grace:example.org", "memory:grace"]

[rex]
roles = ["reader"]
identities = ["slack:T1/UREX", "matrix:@rex:example.org", "memory:rex"]
"""


@dataclass(frozen=True)
class ServedRunbook:
    """A runbook and where it listens."""

    runbook: Runbook
    address: str
    roster: Path

    def token(self, name: str, *roles: Role) -> str:
        """Return a token for `name`."""
        return issue_token(PRIVATE, name, roles, timedelta(minutes=5))


@asynccontextmanager
async def serve_runbook(
    folder: Path, store: Store | None = None, changes: ChangeSignal | None = None
) -> AsyncIterator[ServedRunbook]:
    """Serve a runbook until the end of the block; in memory unless a store is given."""
    runbook = Runbook(store)
    signal = changes or runbook.changes
    reader = YamlRuleReader(CelConditions())
    servicer = RunbookServicer(
        store=runbook.store,
        changes=signal,
        approve=runbook.approve,
        reject=runbook.reject,
        revert=runbook.revert,
        renew=runbook.renew,
        release=runbook.release,
        set_pause=runbook.set_pause,
        snooze=runbook.snooze,
        claim_surface=runbook.claim_surface,
        record_surface=runbook.record_surface,
        reader=reader,
        replay_policy=ReplayPolicy(runbook.store, reader),
        verify_audit=VerifyAudit(runbook.store, MemoryAnchors()),
    )
    public_key, roster = folder / "public.pem", folder / "roster.toml"
    public_key.write_bytes(PUBLIC)
    roster.write_text(ROSTER)
    settings = ServiceSettings(token_public_key=public_key, roster=roster)
    service = Service(
        names=["aftershock.v1.RunbookService"],
        register=lambda server: add_RunbookServiceServicer_to_server(servicer, server),
        errors=ERRORS,
        access=ACCESS,
    )
    server = build_server(service, settings)
    address = bind(server, settings)
    await server.start()
    try:
        yield ServedRunbook(runbook, address, roster)
    finally:
        signal.close()
        await server.stop(None)
