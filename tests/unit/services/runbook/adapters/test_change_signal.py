"""Nobody who watches misses a change."""

import asyncio

import pytest

from services.runbook.adapters.change_signal import ChangeSignal


async def test_a_change_since_one_looked_needs_no_waiting() -> None:
    signal = ChangeSignal()
    seen = signal.count
    signal.ring()
    await asyncio.wait_for(signal.wait(seen, 60.0), 5.0)


async def test_everybody_who_waits_wakes() -> None:
    signal = ChangeSignal()
    waiting = [asyncio.create_task(signal.wait(signal.count, 60.0)) for _ in range(3)]
    await asyncio.sleep(0)
    signal.ring()
    await asyncio.wait_for(asyncio.gather(*waiting), 5.0)


async def test_waiting_ends_by_itself() -> None:
    signal = ChangeSignal()
    await signal.wait(signal.count, 0.001)
    assert signal.count == 0


async def test_cancelling_the_server_ends_its_streams() -> None:
    signal = ChangeSignal()
    closing = asyncio.create_task(signal.close_when_cancelled())
    waiting = asyncio.create_task(signal.wait(signal.count, 60.0))
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait_for(waiting, 5.0)
    assert signal.closed
    await asyncio.wait_for(signal.wait(signal.count, 60.0), 5.0)
    with pytest.raises(asyncio.CancelledError):
        await closing
