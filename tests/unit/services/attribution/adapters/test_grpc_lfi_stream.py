"""Answers come in order, and no more work is taken on than was agreed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.attribution.adapters.grpc_lfi_stream import in_order


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_answers_keep_the_order_of_requests() -> None:
    async def answer(number: int) -> int:
        await asyncio.sleep(0.02 if number % 3 == 0 else 0)
        return number

    assert [n async for n in in_order(numbers(20), answer, 4)] == list(range(20))


@pytest.mark.parametrize("most", [1, 3])
async def test_at_most_so_many_are_under_way(most: int) -> None:
    now, peak = 0, 0

    async def answer(number: int) -> int:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0.002)
        now -= 1
        return number

    assert len([n async for n in in_order(numbers(12), answer, most)]) == 12
    assert peak == most


async def test_an_error_ends_the_stream_after_the_answers_before_it() -> None:
    async def answer(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        await asyncio.sleep(0.01)
        return number

    answers = in_order(numbers(5), answer, 4)
    assert [await anext(answers), await anext(answers)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        await anext(answers)


async def test_who_goes_away_leaves_nothing_running() -> None:
    cancelled: list[int] = []

    async def answer(number: int) -> int:
        try:
            await asyncio.sleep(0 if number == 0 else 3600)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    answers = in_order(numbers(10), answer, 3)
    assert await anext(answers) == 0
    await answers.aclose()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    async with asyncio.timeout(5):
        await asyncio.gather(*others, return_exceptions=True)
    assert set(cancelled) <= {1, 2, 3}
