"""What the runbook asks of the aggregator and of attribution, on real gRPC."""
# ruff: noqa: ASYNC110 - what is waited for happens in a database or on a stream

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from aftershock.v1 import shift_pb2
from aftershock.v1.example_pb2 import Population
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.grpc_importances import GrpcImportances
from services.runbook.adapters.grpc_previewer import GrpcPreviewer
from services.runbook.adapters.grpc_shifts import GrpcShiftFeed
from services.runbook.adapters.grpc_watermarks import GrpcWatermarks
from services.runbook.adapters.listener import Listener
from services.runbook.adapters.no_previewer import NoPreviewer
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_store import SqlStore
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.errors import (
    ImportancesUnavailable,
    PreviewUnavailable,
    StoreUnavailable,
)
from services.runbook.domain.evidence import ShiftEvent
from services.runbook.domain.preview import JointAblation
from services.runbook.domain.rollback import RegisteredCheckpoint
from services.runbook.domain.suspect import SuspectLabel
from services.runbook.open import Open
from tests.unit.services.runbook.builders import (
    BROKEN,
    DIGEST,
    HEALTHY,
    MODEL,
    Runbook,
    event,
    window,
)
from tests.unit.services.runbook.stand_ins import (
    OLDER_UNTIL,
    Aggregator,
    Attribution,
    an_aggregator,
    an_attribution,
    event_message,
    serving,
)

HOURS = [event(hour, ratio) for hour, ratio in enumerate([HEALTHY, BROKEN, 1.4, HEALTHY])]
WINDOW = window(1, BROKEN).name


@pytest.fixture
async def aggregator() -> Aggregator:
    return an_aggregator(*HOURS)


@pytest.fixture
async def attribution() -> Attribution:
    return an_attribution()


@pytest.fixture
async def channel(
    aggregator: Aggregator, attribution: Attribution
) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        serving(aggregator, attribution) as address,
        grpc.aio.insecure_channel(address) as opened,
    ):
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    engine = open_engine(f"sqlite:///{tmp_path}/runbook.sqlite")
    upgrade(engine)
    yield SqlStore(SqlTransactions(engine), ChangeSignal())
    engine.dispose()


async def take(feed: GrpcShiftFeed, count: int, cursors: dict[str, str]) -> list[ShiftEvent]:
    taken: list[ShiftEvent] = []
    async with asyncio.timeout(20), aclosing(feed.events(cursors)) as events:
        async for each in events:
            taken.append(each)
            if len(taken) == count:
                break
    return taken


class TestShifts:
    async def test_from_the_oldest_event_on(self, channel: grpc.aio.Channel) -> None:
        assert await take(GrpcShiftFeed(channel, ()), 4, {}) == HOURS

    async def test_from_a_cursor_on(self, channel: grpc.aio.Channel) -> None:
        assert await take(GrpcShiftFeed(channel, ()), 2, {MODEL: "1-0"}) == HOURS[2:]

    async def test_a_broken_stream_is_resumed_after_what_was_consumed(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        aggregator.breaks_after = 2
        assert await take(GrpcShiftFeed(channel, ()), 4, {}) == HOURS
        assert aggregator.watches == [{}, {MODEL: "1-0"}]

    async def test_an_event_that_breaks_the_contract_is_passed_over(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        aggregator.events.insert(1, shift_pb2.ShiftEvent(cursor="0-1", model=MODEL))
        assert await take(GrpcShiftFeed(channel, ()), 4, {}) == HOURS

    async def test_events_that_come_later(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        taking = asyncio.create_task(take(GrpcShiftFeed(channel, ()), 5, {}))
        while not aggregator.watches:
            await asyncio.sleep(0.01)
        await aggregator.publish(event_message(event(4, HEALTHY)))
        assert await taking == [*HOURS, event(4, HEALTHY)]


class TestListener:
    async def test_a_restart_goes_on_after_what_was_recorded(
        self, channel: grpc.aio.Channel, aggregator: Aggregator, store: SqlStore
    ) -> None:
        runbook = Runbook(store)
        later, aggregator.events = aggregator.events[2:], aggregator.events[:2]
        await listen(Listener(store, GrpcShiftFeed(channel, ()), runbook.open), until="1-0")
        await aggregator.publish(*later)
        await listen(Listener(store, GrpcShiftFeed(channel, ()), runbook.open), until="3-0")
        assert aggregator.watches == [{}, {MODEL: "1-0"}]
        assert [w.start_time.hour for w in (await runbook.incident()).windows] == [1, 2, 3]

    async def test_an_event_that_could_not_be_recorded_comes_again(
        self, channel: grpc.aio.Channel, store: SqlStore
    ) -> None:
        failures = [StoreUnavailable("disk full"), RuntimeError("a bug")]

        class Failing(Open):
            async def __call__(self, event: ShiftEvent) -> None:
                if failures and event.cursor == "1-0":
                    raise failures.pop()
                await super().__call__(event)

        runbook = Runbook(store)
        failing = Failing(store, runbook.clock)
        await listen(Listener(store, GrpcShiftFeed(channel, ()), failing), until="3-0")
        assert not failures
        assert len((await runbook.incident()).windows) == 3


async def listen(listener: Listener, until: str) -> None:
    """Run the listener until this cursor is recorded, then stop it."""
    listening = asyncio.create_task(listener.run())
    async with asyncio.timeout(30):
        while await listener.store.read(lambda unit: unit.feeds.cursors()) != {MODEL: until}:
            await asyncio.sleep(0.01)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


class TestPreviews:
    async def test_the_windows_own_checkpoint_predicts_on_its_sample(
        self, channel: grpc.aio.Channel, attribution: Attribution
    ) -> None:
        (ablation,) = await GrpcPreviewer(channel, channel, ()).ablate(WINDOW, [("a", "b")])
        assert ablation == JointAblation(0.4, 0.4 * (1 / BROKEN), 0.01, 2000, DIGEST)
        (request,) = attribution.previews
        assert request.checkpoint == f"{MODEL}/checkpoints/older"
        assert request.features == ["a", "b"]
        assert 1 <= len(request.arrow_streams) <= 64

    async def test_ids_are_masked_feature_by_feature(
        self, channel: grpc.aio.Channel, attribution: Attribution
    ) -> None:
        labels = [
            SuspectLabel("7", "genres"),
            SuspectLabel("-1", "tags"),
            SuspectLabel("8", "genres"),
        ]
        masked = await GrpcPreviewer(channel, channel, ()).mask(WINDOW, labels)
        assert masked == JointAblation(0.4, 0.4 * (1 / BROKEN), 0.01, 2000, DIGEST)
        (request,) = attribution.previews
        assert request.checkpoint == f"{MODEL}/checkpoints/older"
        assert {m.feature: list(m.ids) for m in request.masks} == {"genres": [7, 8], "tags": [-1]}

    async def test_where_nothing_broke_the_newest_judged_window_stands_for_the_model(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        previewer = GrpcPreviewer(channel, channel, ())
        assert await previewer.newest(MODEL) == HOURS[-1].window
        aggregator.events.clear()
        with pytest.raises(PreviewUnavailable, match="no outcomes are known of models/ads_ctr"):
            await previewer.newest(MODEL)

    async def test_displayed_examples_come_before_considered_ones(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        previewer = GrpcPreviewer(channel, channel, ())
        await previewer.ablate(WINDOW, [("a",)])
        assert aggregator.sampled == [Population.POPULATION_DISPLAYED]
        aggregator.keeps.remove(Population.POPULATION_DISPLAYED)
        await previewer.ablate(WINDOW, [("a",)])
        assert aggregator.sampled[1:] == [
            Population.POPULATION_DISPLAYED,
            Population.POPULATION_CONSIDERED,
        ]

    async def test_an_empty_sample_is_none(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        aggregator.streams = 0
        with pytest.raises(PreviewUnavailable, match="kept no examples"):
            await GrpcPreviewer(channel, channel, ()).ablate(WINDOW, [("a",)])

    async def test_without_a_sample_it_says_so(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        aggregator.keeps.clear()
        with pytest.raises(PreviewUnavailable, match="the aggregator says NOT_FOUND: no sample"):
            await GrpcPreviewer(channel, channel, ()).ablate(WINDOW, [("a",)])

    async def test_without_the_checkpoint_it_says_so(
        self, channel: grpc.aio.Channel, attribution: Attribution
    ) -> None:
        attribution.digest = "c" * 64
        with pytest.raises(PreviewUnavailable, match="no longer holds the window's checkpoint"):
            await GrpcPreviewer(channel, channel, ()).ablate(WINDOW, [("a",)])

    @pytest.mark.parametrize(
        ("known", "name"),
        [
            (RegisteredCheckpoint("7", None, "b" * 64), "newer"),
            (RegisteredCheckpoint("7", OLDER_UNTIL), "older"),
            (RegisteredCheckpoint("7", OLDER_UNTIL, "b" * 64), "newer"),
        ],
    )
    async def test_another_checkpoint_is_found_by_digest_or_by_what_it_has_seen(
        self,
        channel: grpc.aio.Channel,
        attribution: Attribution,
        known: RegisteredCheckpoint,
        name: str,
    ) -> None:
        replaced = await GrpcPreviewer(channel, channel, ()).replace(WINDOW, known)
        assert replaced == JointAblation(0.4, 0.4 * (1 / BROKEN), 0.01, 2000, DIGEST)
        (request,) = attribution.previews
        assert request.checkpoint == f"{MODEL}/checkpoints/older"
        assert request.replacement == f"{MODEL}/checkpoints/{name}"
        assert not request.features

    @pytest.mark.parametrize("digest", ["", "c" * 64])
    async def test_a_checkpoint_that_is_not_held_is_to_be_loaded(
        self, channel: grpc.aio.Channel, digest: str
    ) -> None:
        unknown = RegisteredCheckpoint("7", OLDER_UNTIL.replace(year=1997), digest)
        with pytest.raises(PreviewUnavailable, match="does not hold version 7: load it"):
            await GrpcPreviewer(channel, channel, ()).replace(WINDOW, unknown)

    async def test_without_attribution_it_says_so(self, channel: grpc.aio.Channel) -> None:
        async with grpc.aio.insecure_channel("127.0.0.1:1") as nobody:
            with pytest.raises(PreviewUnavailable, match="attribution says UNAVAILABLE"):
                await GrpcPreviewer(channel, nobody, ()).ablate(WINDOW, [("a",)])
        with pytest.raises(PreviewUnavailable, match="none is configured"):
            await NoPreviewer("none is configured").ablate(WINDOW, [("a",)])
        with pytest.raises(PreviewUnavailable, match="none is configured"):
            await NoPreviewer("none is configured").newest(MODEL)
        with pytest.raises(PreviewUnavailable, match="none is configured"):
            await NoPreviewer("none is configured").mask(WINDOW, [SuspectLabel("7", "genres")])
        with pytest.raises(PreviewUnavailable, match="none is configured"):
            await NoPreviewer("none is configured").replace(WINDOW, RegisteredCheckpoint("7", None))


class TestWatermarks:
    async def test_the_models_newest_example(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        newest = datetime(1998, 3, 14, 2, 40, tzinfo=UTC)
        aggregator.latest[MODEL] = newest
        assert await GrpcWatermarks(channel, ()).latest(MODEL) == newest

    async def test_nobody_can_say(self, channel: grpc.aio.Channel) -> None:
        assert await GrpcWatermarks(channel, ()).latest(MODEL) is None
        assert await GrpcWatermarks(channel, ()).latest("models/other") is None
        async with grpc.aio.insecure_channel("127.0.0.1:1") as nobody:
            assert await GrpcWatermarks(nobody, ()).latest(MODEL) is None


class TestImportances:
    async def test_the_gfi_of_the_features_asked_for(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        aggregator.gfis = {"user_embedding": 0.002, "genres": 0.3}
        found = await GrpcImportances(channel, ()).gfi(WINDOW, ["user_embedding", "unknown"])
        assert found == {"user_embedding": 0.002}

    async def test_a_window_that_is_not_known_has_none(
        self, channel: grpc.aio.Channel, aggregator: Aggregator
    ) -> None:
        aggregator.forgotten = {WINDOW}
        assert await GrpcImportances(channel, ()).gfi(WINDOW, ["user_embedding"]) == {}

    async def test_an_aggregator_that_does_not_answer(self) -> None:
        async with grpc.aio.insecure_channel("127.0.0.1:1") as nobody:
            with pytest.raises(ImportancesUnavailable, match="the aggregator says UNAVAILABLE"):
                await GrpcImportances(nobody, ()).gfi(WINDOW, ["user_embedding"])
