"""What every store promises of windows that are looked at."""

from dataclasses import replace

from services.aggregator.domain.block import Population
from tests.contract.aggregator.sending import append, summary_of
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import (
    HOUR,
    MODEL,
    NOON,
    block,
    hour_of,
    lfis,
)


class TestWindows:
    async def test_are_listed_newest_first(self, registered: Store) -> None:
        starts = [NOON + n * HOUR for n in range(4)]
        for number, start in enumerate(starts):
            await append(registered, number, f"b{number}", event_time=start)
        newest = [w.interval.start for w in await registered.windows.windows(MODEL, None, 3)]
        assert newest == starts[:0:-1]
        earlier = await registered.windows.windows(MODEL, starts[2], 10)
        assert [w.interval.start for w in earlier] == [starts[1], starts[0]]
        assert await registered.windows.windows("other", None, 3) == []

    async def test_keep_a_sample_of_their_examples(self, registered: Store) -> None:
        for number in range(6):
            await append(registered, number, f"b{number}", arrow_stream=f"a{number}".encode())
        window = await registered.windows.window(MODEL, NOON)
        kept = sorted(await registered.windows.sample(window, tuple(Population)))
        # The two of lowest SHA-256; each block has 1,000 examples and 2,000 are kept.
        assert kept == [b"a2", b"a5"]

    async def test_share_the_sample_between_populations(self, registered: Store) -> None:
        for number in range(9):
            population = Population.DISPLAYED if number == 5 else Population.CONSIDERED
            made = replace(
                block(lfis(number), f"b{number}", population=population),
                arrow_stream=f"a{number}".encode(),
            )
            await registered.intake.append(made, hour_of(NOON))
        window = await registered.windows.window(MODEL, NOON)
        assert await registered.windows.sample(window, [Population.DISPLAYED]) == [b"a5"]
        [considered] = await registered.windows.sample(window, [Population.CONSIDERED])
        assert considered != b"a5"
        both = await registered.windows.sample(window, tuple(Population))
        assert set(both) == {b"a5", considered}

    async def test_without_kept_examples_have_an_empty_sample(self, registered: Store) -> None:
        await append(registered)
        window = await registered.windows.window(MODEL, NOON)
        assert await registered.windows.sample(window, tuple(Population)) == []

    async def test_have_no_summary_before_they_close(self, registered: Store) -> None:
        await append(registered)
        window = await registered.windows.window(MODEL, NOON)
        assert await registered.windows.summary(window) is None
        assert await registered.windows.summaries([window]) == [None]
        assert await registered.windows.summaries([]) == []
        assert await registered.windows.marks([window]) == [None]
        assert await registered.windows.marks([]) == []

    async def test_marks_tell_summaries_apart(self, registered: Store) -> None:
        windows = []
        for number, start in enumerate((NOON, NOON + HOUR, NOON + 2 * HOUR)):
            await append(registered, number, f"b{number}", event_time=start)
            windows.append(await registered.windows.window(MODEL, start))
        for window in windows[:2]:
            made = await summary_of(registered, window)
            assert await registered.keeper("a").close(window, made)
        first, second, third = await registered.windows.marks(windows)
        assert None not in (first, second)
        assert first != second
        assert third is None
        assert await registered.windows.marks(windows[:1]) == [first]
