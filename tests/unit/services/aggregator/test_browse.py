import pytest

from services.aggregator.browse import GetGfi, GetWindowSample, ListModels, ListWindows
from services.aggregator.domain.block import Population
from services.aggregator.domain.errors import (
    InvalidPosition,
    ModelNotFound,
    SampleNotRetained,
    WindowNotFound,
)
from services.aggregator.domain.window import window_name
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    Aggregator,
    MemoryStore,
    block,
    checkpoint,
    hours,
    lfis,
    report,
)

NOON_NAME = window_name(MODEL, NOON)


@pytest.fixture
async def aggregator() -> Aggregator:
    store = MemoryStore()
    await store.checkpoints.register(checkpoint())
    return Aggregator(store)


async def test_windows_are_paged_newest_first(aggregator: Aggregator) -> None:
    for number, start in enumerate(hours(5)):
        await aggregator.store_hour(start, number)
    list_windows = ListWindows(aggregator.store.checkpoints, aggregator.store.windows)
    seen, token, pages = [], "", 0
    while token or not pages:
        page, token = await list_windows(MODEL, 2, token)
        seen += [window.interval.start for window in page]
        pages += 1
    assert pages == 3
    assert seen == sorted(hours(5), reverse=True)


async def test_what_is_not_there_is_said_to_be(aggregator: Aggregator) -> None:
    store = aggregator.store
    list_windows = ListWindows(store.checkpoints, store.windows)
    with pytest.raises(ModelNotFound):
        await list_windows("other", 2, "")
    with pytest.raises(InvalidPosition):
        await list_windows(MODEL, 2, "yesterday")
    with pytest.raises(WindowNotFound):
        await GetGfi(store.checkpoints, aggregator.find, aggregator.measure)(NOON_NAME)
    with pytest.raises(WindowNotFound):
        await GetWindowSample(store.windows)(MODEL, NOON, tuple(Population))


async def test_a_window_with_outcomes_alone_has_no_importances(aggregator: Aggregator) -> None:
    await aggregator.report_outcomes(report(NOON))
    get_gfi = GetGfi(aggregator.store.checkpoints, aggregator.find, aggregator.measure)
    with pytest.raises(WindowNotFound):
        await get_gfi(NOON_NAME)


async def test_importances_of_an_open_and_of_a_closed_window_agree(aggregator: Aggregator) -> None:
    get_gfi = GetGfi(aggregator.store.checkpoints, aggregator.find, aggregator.measure)
    await aggregator.ingest(MODEL, lambda: block(lfis(1)))
    _, live = await get_gfi(NOON_NAME)
    assert [importance.rank for importance in live] == [1, 2, 3]
    assert [importance.feature.name for importance in live] == ["f0", "f1", "f2"]
    await aggregator.ingest(MODEL, lambda: block(lfis(2), "b2", event_time=NOON + HOUR))
    await aggregator.sweep()(MODEL)
    _, kept = await get_gfi(NOON_NAME)
    assert kept == live


async def test_models_are_paged_by_name(aggregator: Aggregator) -> None:
    store = aggregator.store
    await aggregator.store_hour(NOON, 1)
    list_models = ListModels(store.checkpoints, store.checkpoints, store.windows)
    (overview,), token = await list_models(10, "")
    assert token == ""
    assert overview.checkpoint == checkpoint()
    assert overview.latest_window is not None
    assert overview.latest_window.interval.start == NOON
    assert overview.state.block_count == 2
    assert await list_models(10, MODEL) == ([], "")


async def test_a_sample_is_handed_out_while_it_is_kept(aggregator: Aggregator) -> None:
    get_sample = GetWindowSample(aggregator.store.windows)
    await aggregator.ingest(MODEL, lambda: block(lfis(1)))
    with pytest.raises(SampleNotRetained):
        await get_sample(MODEL, NOON, tuple(Population))
    await aggregator.ingest(MODEL, lambda: block(lfis(2), "b2", arrow_stream=b"arrow"))
    window, streams = await get_sample(MODEL, NOON, tuple(Population))
    assert window.interval.start == NOON
    assert streams == [b"arrow"]
