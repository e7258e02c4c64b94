"""What every store promises of lists, feeds and findings."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.errors import (
    InvalidPageToken,
)
from services.runbook.domain.incident import opened_on
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.suspect import SuspectLabel
from services.runbook.ports import Store, UnitOfWork
from tests.contract.runbook.keeping import (
    a_mitigation,
    an_incident,
    get,
    incident_page,
    record,
    save,
)
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    MODEL,
    NODE,
    WALL_TIME,
    event,
    finding,
)


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
            page, token = await five.read(partial(incident_page, model, size, token))
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


class TestFeeds:
    async def test_an_event_counts_once(self, store: Store) -> None:
        assert await store.transact(lambda unit: unit.feeds.record(event(1, BROKEN)))
        again = replace(event(1, BROKEN), cursor="1-7")
        assert not await store.transact(lambda unit: unit.feeds.record(again))
        assert await store.read(lambda unit: unit.feeds.cursors()) == {MODEL: "1-7"}

    async def test_cursors_and_times_by_model(self, store: Store) -> None:
        for each in (event(3, HEALTHY), event(2, HEALTHY), event(1, HEALTHY, model="models/b")):
            await store.transact(partial(record, each))
        assert await store.read(lambda unit: unit.feeds.cursors()) == {
            MODEL: "2-0",
            "models/b": "1-0",
        }
        newest = await store.read(lambda unit: unit.feeds.newest_window_end(MODEL))
        assert newest == datetime(1998, 3, 14, 4, tzinfo=UTC)
        assert await store.read(lambda unit: unit.feeds.newest_window_end("models/x")) is None


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
