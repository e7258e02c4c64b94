"""Incidents and work for the suites, and how a store is given them and asked."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from services.runbook.domain.blast_radius import Downstream
from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.incident import Incident, opened
from services.runbook.domain.mitigation import Mitigation, MitigationState, propose
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.preview import Preview
from services.runbook.domain.surface import Surface
from services.runbook.domain.work import Claim, Work, WorkKind
from services.runbook.ports import Store, UnitOfWork
from tests.postgres import PostgresServer
from tests.unit.services.runbook.builders import (
    BROKEN,
    MODEL,
    WALL_TIME,
    event,
)

LEASE = WALL_TIME + timedelta(seconds=30)
APPLY = Work(WorkKind.APPLY, "INC-1", "1")
REVERT = Work(WorkKind.REVERT, "INC-1", "1")
PROPOSE = Work(WorkKind.PROPOSE, "INC-1")
EVERY_KIND = tuple(WorkKind)


def an_incident(incident_id: str = "INC-1", *, model: str = MODEL, hour: int = 1) -> Incident:
    return opened(incident_id, event(hour, BROKEN, model=model), WALL_TIME)


def a_mitigation(mitigation_id: str = "1", incident_id: str = "INC-1") -> Mitigation:
    return propose(
        mitigation_id=mitigation_id,
        plan=Plan(incident_id, MODEL, MitigationKind.KILL_SWITCH, ("user_embedding", "é,'\"")),
        preview=Preview(1.02, 0.99, 1.05, 2000),
        proposer="policy:threshold",
        time=WALL_TIME,
        expire_time=WALL_TIME + timedelta(minutes=30),
        reason="policy threshold",
        downstream=Downstream(None, "lineage is away"),
    )


def move(incident: Incident, *states: MitigationState, mitigation: str = "1") -> Incident:
    for state in states:
        incident = incident.moved(mitigation, state, actor="ada", time=WALL_TIME, reason="why not")
    return incident


async def save(store: Store, *incidents: Incident) -> None:
    def work(unit: UnitOfWork) -> None:
        for incident in incidents:
            unit.incidents.save(incident)

    await store.transact(work)


async def get(store: Store, incident_id: str = "INC-1") -> Incident:
    return await store.read(lambda unit: unit.incidents.get(incident_id))


async def recent(store: Store, model: str = MODEL) -> Sequence[Incident]:
    return await store.read(lambda unit: unit.incidents.recent(model))


async def put(store: Store, *works: Work, due: datetime = WALL_TIME) -> None:
    def work(unit: UnitOfWork) -> None:
        for wanted in works:
            unit.outbox.put(wanted, due)

    await store.transact(work)


async def hasten(store: Store) -> None:
    await store.transact(lambda unit: unit.outbox.hasten(PROPOSE.kind, PROPOSE.incident))


async def claim(
    store: Store, *kinds: WorkKind, time: datetime = WALL_TIME, until: datetime = LEASE
) -> Claim | None:
    wanted = kinds or EVERY_KIND
    expected = await store.read(lambda unit: unit.outbox.due(wanted, time))
    claimed = await store.transact(lambda unit: unit.outbox.claim(wanted, time, until))
    assert (claimed is not None) == expected
    return claimed


def incident_page(
    model: str | None, size: int, token: str, unit: UnitOfWork
) -> tuple[Sequence[Incident], str]:
    return unit.catalogue.page(model, size, token)


def record(seen: ShiftEvent, unit: UnitOfWork) -> bool:
    return unit.feeds.record(seen)


def save_surface(surface: Surface, unit: UnitOfWork) -> None:
    unit.surfaces.save(surface)


def database_url(database: str, folder: Path, server: PostgresServer) -> str:
    return server.empty_database() if database == "postgresql" else f"sqlite:///{folder}/r.sqlite"
