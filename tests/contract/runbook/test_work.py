"""What every store promises of work: it is done once, by whoever holds its lease."""

import asyncio
from datetime import timedelta

import pytest

from services.runbook.domain.errors import (
    LeaseLost,
)
from services.runbook.domain.work import Call, Work, WorkKind
from services.runbook.ports import Store
from tests.contract.runbook.keeping import (
    APPLY,
    EVERY_KIND,
    LEASE,
    PROPOSE,
    REVERT,
    claim,
    hasten,
    put,
)
from tests.unit.services.runbook.builders import (
    WALL_TIME,
)


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
