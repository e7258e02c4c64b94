"""What every store promises of checkpoints, and of the rules of their models."""

from datetime import timedelta

import pytest

from services.aggregator.domain.errors import (
    CheckpointMismatch,
    CheckpointNotFound,
    ModelNotFound,
    WindowClosed,
    WindowNotFound,
)
from services.aggregator.domain.window import ModelRules, WindowState
from tests.contract.aggregator.sending import append
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import (
    DIGEST,
    HOUR,
    MODEL,
    NOON,
    checkpoint,
    hour_of,
    report,
)

DAY = timedelta(days=1)
OTHER_DIGEST = "cd" * 32


class TestCheckpoints:
    async def test_are_found_by_digest(self, store: Store) -> None:
        await store.checkpoints.register(checkpoint())
        await store.checkpoints.register(checkpoint(digest=OTHER_DIGEST, features=5))
        assert await store.checkpoints.find(MODEL, DIGEST) == checkpoint()
        assert await store.checkpoints.models() == [MODEL]
        assert (await store.checkpoints.model(MODEL)).digest == OTHER_DIGEST

    async def test_can_be_registered_again(self, registered: Store) -> None:
        await registered.checkpoints.register(checkpoint())
        assert await registered.checkpoints.find(MODEL, DIGEST) == checkpoint()

    async def test_keep_the_meaning_of_their_digest(self, registered: Store) -> None:
        with pytest.raises(CheckpointMismatch):
            await registered.checkpoints.register(checkpoint(features=4))
        assert await registered.checkpoints.find(MODEL, DIGEST) == checkpoint()

    async def test_that_are_unknown_are_said_to_be(self, registered: Store) -> None:
        with pytest.raises(CheckpointNotFound):
            await registered.checkpoints.find(MODEL, OTHER_DIGEST)
        with pytest.raises(CheckpointNotFound):
            await registered.checkpoints.find("other", DIGEST)
        with pytest.raises(ModelNotFound):
            await registered.checkpoints.model("other")


class TestRules:
    async def test_a_model_has_none_of_its_own_at_first(self, registered: Store) -> None:
        assert (await registered.checkpoints.model(MODEL)).rules == ModelRules()
        with pytest.raises(ModelNotFound):
            await registered.checkpoints.set_rules("other", ModelRules())

    async def test_they_are_kept_and_can_be_taken_back(self, registered: Store) -> None:
        own = ModelRules(timedelta(seconds=90.5), timedelta(days=20))
        await registered.checkpoints.set_rules(MODEL, own)
        assert (await registered.checkpoints.model(MODEL)).rules == own
        half = ModelRules(retention=timedelta(days=2))
        await registered.checkpoints.set_rules(MODEL, half)
        await registered.checkpoints.register(checkpoint())
        assert (await registered.checkpoints.model(MODEL)).rules == half

    async def test_a_window_waits_for_its_models_stragglers(self, registered: Store) -> None:
        keeper = registered.keeper("a")
        await registered.checkpoints.set_rules(MODEL, ModelRules(allowed_lateness=HOUR / 2))
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR)
        assert not await keeper.work(MODEL)
        await append(registered, 3, "b3", event_time=NOON + HOUR / 2)
        window = await registered.windows.window(MODEL, NOON)
        assert (window.state, window.considered_count) == (WindowState.OPEN, 2000)
        await append(registered, 4, "b4", event_time=NOON + 1.5 * HOUR)
        with pytest.raises(WindowClosed):
            await append(registered, 5, "b5", event_time=NOON + HOUR / 2)
        assert (await keeper.work(MODEL)).closable == [NOON]
        assert (await registered.windows.window(MODEL, NOON)).state is WindowState.CLOSED
        assert (await registered.checkpoints.model(MODEL)).refused_count == 1

    async def test_a_models_windows_are_kept_for_its_retention(self, registered: Store) -> None:
        keeper = registered.keeper("a")
        await registered.checkpoints.set_rules(MODEL, ModelRules(retention=2 * DAY))
        await append(registered)
        await append(registered, 2, "b2", event_time=NOON + HOUR + 2 * DAY)
        assert (await keeper.work(MODEL)).expired == [NOON]
        with pytest.raises(WindowNotFound):
            await registered.intake.report(report(NOON), hour_of(NOON))
        await registered.checkpoints.set_rules(MODEL, ModelRules())
        assert (await keeper.work(MODEL)).expired == []
