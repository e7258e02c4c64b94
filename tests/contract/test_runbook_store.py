"""The store, over every implementation: memory, SQLite, PostgreSQL."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.memory_incidents import MemoryStore
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_tables import IncidentRow
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.blast_radius import Downstream
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.errors import (
    IncidentNotFound,
    InvalidPageToken,
    LeaseLost,
    StoreUnavailable,
)
from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.guardrail import Begun
from services.runbook.domain.incident import Incident, opened, opened_on
from services.runbook.domain.mitigation import Mitigation, MitigationState, Stage, propose
from services.runbook.domain.pause import Pause, PauseState
from services.runbook.domain.plan import KILLED, SERVED, Change, MitigationKind, Plan
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.surface import Surface
from services.runbook.domain.suspect import SuspectLabel
from services.runbook.domain.work import Call, Claim, Work, WorkKind
from services.runbook.ports import Store, UnitOfWork
from tests.postgres import PostgresServer
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    MODEL,
    NODE,
    WALL_TIME,
    event,
    finding,
)

LEASE = WALL_TIME + timedelta(seconds=30)
APPLY = Work(WorkKind.APPLY, "INC-1", "1")
REVERT = Work(WorkKind.REVERT, "INC-1", "1")
PROPOSE = Work(WorkKind.PROPOSE, "INC-1")
EVERY_KIND = tuple(WorkKind)


@pytest.fixture
def changes() -> ChangeSignal:
    return ChangeSignal()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(
    request: pytest.FixtureRequest,
    changes: ChangeSignal,
    tmp_path: Path,
    postgres_server: PostgresServer,
) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(changes)
        return
    engine = open_engine(_url(request.param, tmp_path, postgres_server))
    upgrade(engine)
    yield SqlStore(SqlTransactions(engine), changes)
    engine.dispose()


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


class TestIncidents:
    async def test_what_is_saved_is_what_is_read(self, store: Store) -> None:
        endless = event(2, BROKEN)
        calibration = replace(endless.window.calibration, ratio=math.inf, upper=math.inf)
        endless = replace(endless, window=replace(endless.window, calibration=calibration))
        incident = an_incident().attached(endless, WALL_TIME).advised("look at `emb_encode_job`")
        incident = incident.with_proposal(a_mitigation())
        incident = incident.with_mitigation(
            replace(
                incident.mitigation("1"),
                change=Change({"user_embedding": SERVED}, {"user_embedding": KILLED}),
                applied_after=WALL_TIME + timedelta(microseconds=1),
                required_approvals=2,
                escalated_to=("second line",),
                lease_expire_time=LEASE,
                stage=Stage(10, WALL_TIME, passed=True),
                verified_calibration=1.25,
            )
        )
        await save(store, incident)
        assert await get(store) == incident

    async def test_changes_are_added_to_what_is_there(self, store: Store) -> None:
        first = an_incident()
        await save(store, first)
        second = first.with_proposal(a_mitigation())
        await save(store, second)
        third = move(second, MitigationState.REJECTED).with_proposal(a_mitigation("2"))
        await save(store, third)
        fourth = third.closed(actor="runbook", time=WALL_TIME, reason="healthy")
        await save(store, fourth)
        assert await get(store) == fourth

    async def test_ten_mitigations_stay_in_order(self, store: Store) -> None:
        incident = an_incident()
        for number in range(1, 12):
            incident = move(
                incident.with_proposal(a_mitigation(str(number))),
                MitigationState.EXPIRED,
                mitigation=str(number),
            )
        await save(store, incident)
        assert await get(store) == incident

    async def test_a_missing_preview_stays_missing(self, store: Store) -> None:
        missing = replace(a_mitigation(), preview=MissingPreview("the sample has expired"))
        await save(store, an_incident().with_proposal(missing))
        assert (await get(store)).mitigations == (missing,)

    async def test_times_keep_their_instant(self, store: Store) -> None:
        elsewhere = WALL_TIME.astimezone(timezone(timedelta(hours=9)))
        incident = opened("INC-1", event(1, BROKEN), elsewhere)
        await save(store, incident)
        read = await get(store)
        assert read.create_time == WALL_TIME
        assert read == incident

    @pytest.mark.parametrize("unknown", ["INC-7", "INC-0", "INC-", "7", "INC-007", "INC-²"])
    async def test_unknown_incidents(self, store: Store, unknown: str) -> None:
        await save(store, an_incident())
        with pytest.raises(IncidentNotFound, match="there is no incident"):
            await get(store, unknown)

    async def test_a_transaction_that_fails_leaves_nothing(self, store: Store) -> None:
        def work(unit: UnitOfWork) -> None:
            unit.incidents.save(an_incident())
            unit.outbox.put(PROPOSE, WALL_TIME)
            unit.feeds.record(event(1, BROKEN))
            raise RuntimeError("the power went out")

        with pytest.raises(RuntimeError, match="power"):
            await store.transact(work)
        assert await store.read(lambda unit: unit.incidents.recent(MODEL)) == []
        assert await store.read(lambda unit: unit.feeds.cursors()) == {}
        assert await claim(store) is None

    async def test_ids_count_up(self, store: Store) -> None:
        assert await store.read(lambda unit: unit.incidents.next_id()) == "INC-1"
        await save(store, an_incident())
        assert await store.read(lambda unit: unit.incidents.next_id()) == "INC-2"

    async def test_the_recent_ones_are_the_models_own_newest_first(self, store: Store) -> None:
        closed = an_incident().closed(actor="runbook", time=WALL_TIME, reason="healthy")
        newer = an_incident("INC-2", hour=9)
        other = an_incident("INC-3", model="models/feed")
        await save(store, closed, newer, other)
        assert await recent(store) == [newer, closed]
        assert await store.read(lambda unit: unit.catalogue.open_ids()) == ["INC-2", "INC-3"]
        assert await recent(store, "models/none") == []

    async def test_the_open_one_comes_first_and_merged_ones_not_at_all(self, store: Store) -> None:
        reopened = an_incident()
        newer = an_incident("INC-2", hour=9).closed(actor="runbook", time=WALL_TIME, reason="x")
        merged = replace(
            an_incident("INC-3", hour=10).closed(actor="runbook", time=WALL_TIME, reason="x"),
            merged_into="INC-1",
        )
        await save(store, reopened, newer, merged)
        assert await recent(store) == [reopened, newer]
        assert (await get(store, "INC-3")).merged_into == "INC-1"

    async def test_what_is_in_force(self, store: Store) -> None:
        state = MitigationState
        incident = an_incident()
        paths = {
            "1": (state.REJECTED,),
            "2": (state.APPROVED, state.APPLYING, state.APPLIED, state.REVERTING, state.REVERTED),
            "3": (state.APPROVED, state.APPLYING, state.FAILED),
            "4": (state.APPROVED, state.APPLYING, state.APPLIED),
        }
        for number, path in paths.items():
            incident = incident.with_proposal(a_mitigation(number))
            incident = move(incident, *path, mitigation=number)
        await save(store, incident)
        around = await store.read(lambda unit: unit.restraints.circumstances(WALL_TIME))
        assert list(around.in_force) == [m.plan for m in incident.mitigations if m.id in "34"]
        assert await store.read(lambda unit: unit.incidents.watched(MODEL)) == [incident]
        assert await store.read(lambda unit: unit.incidents.watched("models/none")) == []

    async def test_what_was_begun(self, store: Store) -> None:
        begun = move(
            an_incident().with_proposal(a_mitigation()),
            MitigationState.APPROVED,
            MitigationState.APPLYING,
            MitigationState.FAILED,
        )
        other = an_incident("INC-2", model="models/feed").with_proposal(
            a_mitigation(incident_id="INC-2")
        )
        await save(store, begun, move(other, MitigationState.APPROVED))
        for since, found in ((WALL_TIME, [Begun(MODEL, WALL_TIME)]), (LEASE, [])):
            around = await store.read(lambda unit: unit.restraints.circumstances(since))  # noqa: B023
            assert list(around.begun) == found

    async def test_a_pause_is_an_audit_record(self, store: Store) -> None:
        assert await store.read(lambda unit: unit.restraints.pause()) == Pause()
        begun = Pause().moved(PauseState.PAUSED, actor="ada", time=WALL_TIME, reason="the sale")
        ended = begun.moved(PauseState.RUNNING, actor="ada", time=LEASE, reason="over")
        for pause in (begun, ended):
            await store.transact(lambda unit: unit.restraints.record(pause))  # noqa: B023
            assert await store.read(lambda unit: unit.restraints.pause()) == pause
        records = await store.read(lambda unit: list(unit.audit.records()))
        assert [(r.subject, r.ordinal, r.step) for r in records] == [
            ("pause", 0, begun.last),
            ("pause", 1, ended.last),
        ]

    async def test_the_audit_is_read_on_from_a_place_and_a_time(self, store: Store) -> None:
        paused = Pause().moved(PauseState.PAUSED, actor="ada", time=WALL_TIME, reason="the sale")
        steps = [paused]
        for minute in range(1, 4):
            state = (PauseState.RUNNING, PauseState.PAUSED)[minute % 2 == 0]
            time = WALL_TIME + timedelta(minutes=minute)
            steps.append(steps[-1].moved(state, actor="ada", time=time, reason="over"))
        for pause in steps:
            await store.transact(lambda unit: unit.restraints.record(pause))  # noqa: B023

        async def read(after: int, minutes: int, limit: int) -> list[int]:
            since = WALL_TIME + timedelta(minutes=minutes)
            found = await store.read(lambda unit: unit.audit.after(after, since, limit))
            return [record.sequence for record in found]

        assert await read(0, 0, 9) == [1, 2, 3, 4]
        assert await read(2, 0, 9) == [3, 4]
        assert await read(0, 2, 9) == [3, 4]
        assert await read(0, 1, 2) == [2, 3]
        assert await read(4, 0, 9) == []

    async def test_a_model_knows_since_when_its_checkpoint_scores(self, store: Store) -> None:
        async def take(hour: int, digest: str) -> datetime | None:
            told = event(hour, HEALTHY)
            told = replace(told, window=replace(told.window, checkpoint_digest=digest))
            await store.transact(lambda unit: unit.feeds.record(told))
            return await store.read(lambda unit: unit.feeds.checkpoint_since(MODEL))

        assert await store.read(lambda unit: unit.feeds.checkpoint_since(MODEL)) is None
        assert [await take(1, "a"), await take(2, "a")] == [None, None]
        since = event(4, HEALTHY).window.start_time
        # A window that comes late does not bring the old checkpoint back.
        assert [await take(4, "b"), await take(3, "a"), await take(5, "b")] == [since] * 3

    async def test_what_is_overdue(self, store: Store) -> None:
        waiting = an_incident().with_proposal(a_mitigation())
        answered = an_incident("INC-2", model="models/feed").with_proposal(
            a_mitigation(incident_id="INC-2")
        )
        await save(store, waiting, move(answered, MitigationState.APPROVED))

        async def overdue(minutes: float) -> list[str]:
            time = WALL_TIME + timedelta(minutes=minutes)
            return list(await store.read(lambda unit: unit.incidents.overdue(time)))

        assert await overdue(29.9) == []
        assert await overdue(30) == ["INC-1"]

    async def test_two_that_open_at_once_make_two_numbers(self, store: Store) -> None:
        async def open_one(model: str) -> None:
            await store.transact(
                lambda unit: unit.incidents.save(an_incident(unit.incidents.next_id(), model=model))
            )

        await asyncio.gather(*(open_one(f"models/m{n}") for n in range(8)))
        page, _ = await store.read(lambda unit: unit.catalogue.page(None, 100, ""))
        assert [incident.id for incident in page] == [f"INC-{n}" for n in range(8, 0, -1)]

    async def test_changes_at_once_are_all_kept(self, store: Store) -> None:
        await save(store, an_incident())

        async def note(message: str) -> None:
            await store.transact(
                lambda unit: unit.incidents.save(
                    unit.incidents.get("INC-1").noted(WALL_TIME, "ada", message)
                )
            )

        await asyncio.gather(*(note(f"note {n}") for n in range(8)))
        notes = {entry.message for entry in (await get(store)).timeline}
        assert {f"note {n}" for n in range(8)} <= notes


class TestCatalogue:
    @pytest.fixture
    async def five(self, store: Store) -> Store:
        models = ("models/a", "models/b", "models/a", "models/c", "models/a")
        for number, model in enumerate(models, 1):
            incident = an_incident(f"INC-{number}", model=model)
            await save(store, incident.closed(actor="runbook", time=WALL_TIME, reason="healthy"))
        return store

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
    @pytest.mark.parametrize(
        ("model", "expected"), [(None, [5, 4, 3, 2, 1]), ("models/a", [5, 3, 1]), ("models/x", [])]
    )
    async def test_pages_hold_everything_newest_first(
        self, five: Store, size: int, model: str | None, expected: list[int]
    ) -> None:
        found, token = [], ""
        while True:
            page, token = await five.read(partial(_page, model, size, token))
            assert len(page) <= size
            found += [incident.id for incident in page]
            if not token:
                break
        assert found == [f"INC-{number}" for number in expected]

    @pytest.mark.parametrize("token", ["x", "-1", "0", "1.5", "²", "9" * 40])
    async def test_a_token_of_no_page_is_refused(self, five: Store, token: str) -> None:
        with pytest.raises(InvalidPageToken) as refusal:
            await five.read(lambda unit: unit.catalogue.page(None, 2, token))
        assert refusal.value.field == "page_token"

    async def test_versions_grow_with_each_change(self, five: Store) -> None:
        before = await five.read(lambda unit: unit.catalogue.versions(None))
        assert before.keys() == {f"INC-{n}" for n in range(1, 6)}
        await save(five, (await get(five, "INC-3")).noted(WALL_TIME, "ada", "still here"))
        after = await five.read(lambda unit: unit.catalogue.versions(None))
        assert {i for i in after if after[i] > before[i]} == {"INC-3"}
        assert {i for i in after if after[i] < before[i]} == set()

    async def test_versions_of_one_model(self, five: Store) -> None:
        of_one = await five.read(lambda unit: unit.catalogue.versions("models/b"))
        assert of_one.keys() == {"INC-2"}


class TestOutbox:
    async def test_work_is_handed_out_once_and_finished(self, store: Store) -> None:
        await put(store, PROPOSE)
        claimed = await claim(store)
        assert claimed is not None
        assert claimed.work == PROPOSE
        assert claimed.attempt == 1
        assert await claim(store) is None
        await store.transact(lambda unit: unit.outbox.finish(claimed))
        assert await claim(store, time=LEASE) is None

    async def test_oldest_first_and_only_of_the_kinds_asked_for(self, store: Store) -> None:
        verify = Work(WorkKind.VERIFY, "INC-1")
        await put(store, PROPOSE, verify)
        first = await claim(store, WorkKind.VERIFY, WorkKind.APPLY)
        second = await claim(store)
        assert first is not None
        assert second is not None
        assert (first.work, second.work) == (verify, PROPOSE)

    async def test_a_call_is_handed_out_as_it_was_wanted(self, store: Store) -> None:
        call = Call("incidents/INC-1", "ranking rota", "é: 'now'")
        await put(store, Work(WorkKind.PAGE, "INC-1", call=call), PROPOSE)
        wanted = [await claim(store), await claim(store)]
        assert [each.work.call for each in wanted if each] == [call, None]

    async def test_nothing_is_handed_out_before_it_is_due(self, store: Store) -> None:
        await put(store, PROPOSE, due=WALL_TIME + timedelta(seconds=1))
        assert await claim(store) is None
        assert await claim(store, time=WALL_TIME + timedelta(seconds=1)) is not None

    async def test_a_lease_lapses_and_its_holder_has_lost_it(self, store: Store) -> None:
        await put(store, APPLY)
        first = await claim(store)
        assert await claim(store, time=LEASE - timedelta(seconds=1)) is None
        second = await claim(store, time=LEASE, until=LEASE + timedelta(seconds=30))
        assert first is not None
        assert second is not None
        assert second.attempt == 2
        with pytest.raises(LeaseLost):
            await store.transact(lambda unit: unit.outbox.finish(first))
        with pytest.raises(LeaseLost):
            await store.transact(lambda unit: unit.outbox.postpone(first, WALL_TIME))
        await store.transact(lambda unit: unit.outbox.finish(second))
        with pytest.raises(LeaseLost):
            await store.transact(lambda unit: unit.outbox.finish(second))

    async def test_postponed_work_comes_back_as_another_attempt(self, store: Store) -> None:
        await put(store, APPLY)
        first = await claim(store)
        assert first is not None
        later = WALL_TIME + timedelta(seconds=5)
        await store.transact(lambda unit: unit.outbox.postpone(first, later))
        assert await claim(store) is None
        second = await claim(store, time=later)
        assert second is not None
        assert (second.work, second.attempt) == (APPLY, 2)

    async def test_what_is_hastened_waits_once(self, store: Store) -> None:
        for _ in range(3):
            await hasten(store)
        first = await claim(store)
        assert first is not None
        assert first.work == PROPOSE
        assert await claim(store) is None

    async def test_what_is_held_may_have_been_looked_at_already(self, store: Store) -> None:
        await put(store, PROPOSE)
        first = await claim(store)
        await hasten(store)
        second = await claim(store)
        assert first is not None
        assert second is not None
        assert first.id != second.id

    async def test_a_postponed_work_is_hastened(self, store: Store) -> None:
        await put(store, PROPOSE)
        first = await claim(store)
        assert first is not None
        later = WALL_TIME + timedelta(hours=1)
        await store.transact(lambda unit: unit.outbox.postpone(first, later))
        await hasten(store)
        second = await claim(store)
        assert second is not None
        assert (second.id, second.attempt) == (first.id, 2)

    async def test_only_the_same_work_is_hastened(self, store: Store) -> None:
        verify, other = Work(WorkKind.VERIFY, "INC-1"), Work(WorkKind.PROPOSE, "INC-2")
        later = WALL_TIME + timedelta(hours=1)
        await put(store, verify, other, due=later)
        await hasten(store)
        first = await claim(store)
        assert first is not None
        assert first.work == PROPOSE
        assert await claim(store) is None

    async def test_works_of_one_mitigation_wait_for_each_other(self, store: Store) -> None:
        other = Work(WorkKind.APPLY, "INC-1", "2")
        await put(store, APPLY, REVERT, other)
        first = await claim(store)
        second = await claim(store)
        assert first is not None
        assert second is not None
        assert (first.work, second.work) == (APPLY, other)
        assert await claim(store, WorkKind.REVERT) is None
        await store.transact(lambda unit: unit.outbox.finish(first))
        third = await claim(store, WorkKind.REVERT)
        assert third is not None
        assert third.work == REVERT

    async def test_many_that_claim_at_once_get_each_work_once(self, store: Store) -> None:
        works = [Work(WorkKind.PROPOSE, f"INC-{n}") for n in range(6)]
        await put(store, *works)
        claims = await asyncio.gather(
            *(
                store.transact(lambda unit: unit.outbox.claim(EVERY_KIND, WALL_TIME, LEASE))
                for _ in range(10)
            )
        )
        got = [claimed.work.incident for claimed in claims if claimed]
        assert len(got) == len(set(got))
        while (more := await claim(store)) is not None:
            got.append(more.work.incident)
        assert sorted(got) == [work.incident for work in works]


class TestFindings:
    async def test_a_finding_counts_once(self, store: Store) -> None:
        for expected in (True, False):
            told = await store.transact(lambda unit: unit.findings.record(finding()))
            assert told is expected
        newer = replace(finding("2"), time=WALL_TIME)
        await store.transact(lambda unit: unit.findings.record(newer))
        assert await store.read(lambda unit: unit.findings.until()) == WALL_TIME
        every = await store.read(lambda unit: unit.findings.seen(finding().time))
        assert set(every) == {finding().id, newer.id}
        lately = await store.read(lambda unit: unit.findings.seen(WALL_TIME))
        assert set(lately) == {newer.id}

    async def test_nothing_was_found_yet(self, store: Store) -> None:
        assert await store.read(lambda unit: unit.findings.until()) is None
        assert not await store.read(lambda unit: unit.findings.seen(WALL_TIME))

    async def test_what_is_undone_was_not_taken_in(self, store: Store) -> None:
        def failing(unit: UnitOfWork) -> None:
            unit.findings.record(finding())
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await store.transact(failing)
        assert await store.transact(lambda unit: unit.findings.record(finding()))

    async def test_an_incident_on_findings_and_what_is_planned_about_them(
        self, store: Store
    ) -> None:
        plain = replace(finding("é,'\""), lean=None, flips=None, model_count=None)
        incident = opened_on("INC-1", MODEL, [finding(), plain], WALL_TIME)
        label = SuspectLabel("4711", "genres", NODE, "1", 0.9, 0.1)
        plan = Plan("INC-1", MODEL, MitigationKind.ROW_REBALANCE, labels=(label,))
        planned = replace(a_mitigation(), plan=plan)
        incident = incident.with_proposal(planned)
        await save(store, incident)
        read = await get(store)
        assert read == incident
        assert read.mitigations[0].plan_hash == planned.plan_hash
        assert read.verdict is IncidentVerdict.NATURAL_TRIGGER


class TestFeeds:
    async def test_an_event_counts_once(self, store: Store) -> None:
        assert await store.transact(lambda unit: unit.feeds.record(event(1, BROKEN)))
        again = replace(event(1, BROKEN), cursor="1-7")
        assert not await store.transact(lambda unit: unit.feeds.record(again))
        assert await store.read(lambda unit: unit.feeds.cursors()) == {MODEL: "1-7"}

    async def test_cursors_and_times_by_model(self, store: Store) -> None:
        for each in (event(3, HEALTHY), event(2, HEALTHY), event(1, HEALTHY, model="models/b")):
            await store.transact(partial(_record, each))
        assert await store.read(lambda unit: unit.feeds.cursors()) == {
            MODEL: "2-0",
            "models/b": "1-0",
        }
        newest = await store.read(lambda unit: unit.feeds.newest_window_end(MODEL))
        assert newest == datetime(1998, 3, 14, 4, tzinfo=UTC)
        assert await store.read(lambda unit: unit.feeds.newest_window_end("models/x")) is None


async def test_a_commit_rings(store: Store, changes: ChangeSignal) -> None:
    await store.read(lambda unit: unit.incidents.next_id())
    assert changes.count == 0
    await put(store, PROPOSE)
    assert changes.count == 1


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_database_itself_refuses_a_second_open_incident(
    database: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    engine = open_engine(_url(database, tmp_path, postgres_server))
    upgrade(engine)

    def row(number: int, state: str) -> IncidentRow:
        return IncidentRow(number=number, model=MODEL, state=state, version=1, advice="")

    with Session(engine) as session:
        session.add_all([row(1, "CLOSED"), row(2, "CLOSED"), row(3, "OPEN")])
        session.commit()
        session.add(row(4, "OPEN"))
        with pytest.raises(IntegrityError):
            session.commit()
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["postgresql://nobody@/none?host=/nowhere", "sqlite:////proc/nowhere/runbook.sqlite"]
)
async def test_a_database_that_is_gone_is_unavailable_and_says_when_to_try_again(
    url: str,
) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    store = SqlStore(SqlTransactions(engine), ChangeSignal())
    for call in (store.read, store.transact):
        with pytest.raises(StoreUnavailable, match="try again") as failure:
            await call(lambda unit: unit.incidents.next_id())
        assert failure.value.retry_after > 0


def _page(
    model: str | None, size: int, token: str, unit: UnitOfWork
) -> tuple[Sequence[Incident], str]:
    return unit.catalogue.page(model, size, token)


def _record(seen: ShiftEvent, unit: UnitOfWork) -> bool:
    return unit.feeds.record(seen)


def _url(database: str, folder: Path, server: PostgresServer) -> str:
    return server.empty_database() if database == "postgresql" else f"sqlite:///{folder}/r.sqlite"


class TestSurfaces:
    async def test_what_is_saved_is_what_is_read(self, store: Store) -> None:
        await save(store, an_incident())
        surface = Surface(
            incident="INC-1",
            id="slack.C1",
            message="C1/12.34",
            shown="abc",
            told_count=3,
            attachments=("gfi", "é"),
            holder="one",
            lease_expire_time=LEASE,
            interrupted=True,
            version=7,
        )
        for version in (surface, replace(surface, holder="", lease_expire_time=None, version=8)):
            await store.transact(partial(_save_surface, version))
            found = await store.read(lambda unit: unit.surfaces.get("INC-1", "slack.C1"))
            assert found == version

    async def test_unknown_ones_begin_with_nothing(self, store: Store) -> None:
        found = await store.read(lambda unit: unit.surfaces.get("INC-1", "slack.C2"))
        assert found == Surface(incident="INC-1", id="slack.C2")

    async def test_an_incident_does_not_change_by_them(self, store: Store) -> None:
        await save(store, an_incident())
        before = await store.read(lambda unit: unit.catalogue.versions(None))
        await store.transact(partial(_save_surface, Surface(incident="INC-1", id="slack.C1")))
        assert await store.read(lambda unit: unit.catalogue.versions(None)) == before

    async def test_a_snooze_is_kept(self, store: Store) -> None:
        await save(store, replace(an_incident(), snooze_expire_time=LEASE))
        assert (await get(store)).snooze_expire_time == LEASE


def _save_surface(surface: Surface, unit: UnitOfWork) -> None:
    unit.surfaces.save(surface)
