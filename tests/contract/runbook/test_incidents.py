"""What every store promises of incidents."""

import asyncio
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from services.runbook.domain.errors import (
    IncidentNotFound,
)
from services.runbook.domain.guardrail import Begun
from services.runbook.domain.incident import opened
from services.runbook.domain.mitigation import MitigationState, Stage
from services.runbook.domain.pause import Pause, PauseState
from services.runbook.domain.plan import KILLED, SERVED, Change
from services.runbook.domain.preview import MissingPreview
from services.runbook.ports import Store, UnitOfWork
from tests.contract.runbook.keeping import (
    LEASE,
    PROPOSE,
    a_mitigation,
    an_incident,
    claim,
    get,
    move,
    recent,
    save,
)
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    MODEL,
    WALL_TIME,
    event,
)


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
