"""What every store promises of where incidents are shown."""

from dataclasses import replace
from functools import partial

from services.runbook.domain.surface import Surface
from services.runbook.ports import Store
from tests.contract.runbook.keeping import LEASE, an_incident, get, save, save_surface


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
            await store.transact(partial(save_surface, version))
            found = await store.read(lambda unit: unit.surfaces.get("INC-1", "slack.C1"))
            assert found == version

    async def test_unknown_ones_begin_with_nothing(self, store: Store) -> None:
        found = await store.read(lambda unit: unit.surfaces.get("INC-1", "slack.C2"))
        assert found == Surface(incident="INC-1", id="slack.C2")

    async def test_an_incident_does_not_change_by_them(self, store: Store) -> None:
        await save(store, an_incident())
        before = await store.read(lambda unit: unit.catalogue.versions(None))
        await store.transact(partial(save_surface, Surface(incident="INC-1", id="slack.C1")))
        assert await store.read(lambda unit: unit.catalogue.versions(None)) == before

    async def test_a_snooze_is_kept(self, store: Store) -> None:
        await save(store, replace(an_incident(), snooze_expire_time=LEASE))
        assert (await get(store)).snooze_expire_time == LEASE
