"""The client for programs that run on an event loop.

client = aftershock.aio.Client("aftershock.internal:8443", model="ads_ctr")

async with client.examples() as log:
    await log.send(batch, event_time=batch_time)
await client.outcomes(window=hour, expected=sum_of_predictions, observed=clicks)
"""

import asyncio
from datetime import datetime
from types import TracebackType
from typing import Self

from aftershock._aggregator_aio import AioAggregatorClient
from aftershock._attribution_aio import AioAttributionClient
from aftershock._audit_aio import AioAuditClient
from aftershock._base import DEFAULT_BUFFER_BYTES, DEFAULT_TIMEOUT
from aftershock._graph_aio import AioGraphClient
from aftershock._lineage_aio import AioLineageClient
from aftershock._log import ExampleLog as BlockingLog
from aftershock._log import Examples, LogStats, OnFull, Population
from aftershock._runbook_aio import AioRunbookClient

__all__ = ["Client", "ExampleLog"]


class ExampleLog:
    """Where a pipeline on an event loop sends its examples: an async context manager.

    Encoding and waiting happen on threads; the loop is never held up.
    """

    def __init__(self, log: BlockingLog) -> None:
        self._log = log

    async def send(
        self, batch: Examples, *, event_time: datetime, batch_id: str | None = None
    ) -> None:
        """Send examples. See aftershock.ExampleLog.send."""
        await asyncio.to_thread(self._log.send, batch, event_time=event_time, batch_id=batch_id)

    @property
    def stats(self) -> LogStats:
        """What became of the examples so far."""
        return self._log.stats

    async def __aenter__(self) -> Self:
        self._log.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._log.__exit__, kind, error, traceback)


class Client(
    AioAttributionClient,
    AioAggregatorClient,
    AioLineageClient,
    AioGraphClient,
    AioRunbookClient,
    AioAuditClient,
):
    """Talks to Aftershock from an event loop. Its operations are those of aftershock.Client."""

    def examples(
        self,
        population: Population = "considered",
        *,
        on_full: OnFull = "drop",
        sample: float = 1.0,
        seed: int = 0,
        timeout: float = DEFAULT_TIMEOUT,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
    ) -> ExampleLog:
        """Return a log to send the model's examples to. See aftershock.Client.examples."""
        log = self._open_log(
            self._blocking_channels,
            population,
            on_full=on_full,
            sample=sample,
            seed=seed,
            timeout=timeout,
            buffer_bytes=buffer_bytes,
        )
        return ExampleLog(log)
