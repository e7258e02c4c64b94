"""Blocks and outcomes into Redis, each in one atomic step."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import STORED_BYTES
from services.aggregator.adapters.packed_panes import pack_pane
from services.aggregator.adapters.packing import seal
from services.aggregator.adapters.redis_client import Script
from services.aggregator.adapters.redis_durability import Durability
from services.aggregator.adapters.redis_keys import ModelKeys, micros
from services.aggregator.domain.block import Block
from services.aggregator.domain.errors import (
    CheckpointMismatch,
    CheckpointNotFound,
    ModelNotFound,
    WindowClosed,
    WindowNotFound,
)
from services.aggregator.domain.latest import LatestRules
from services.aggregator.domain.outcomes import OutcomeReport
from services.aggregator.domain.sampling import priority_of
from services.aggregator.domain.window import Interval, WindowRules, window_id, window_name
from services.aggregator.ports import Stored

_append = Script("append")
_report = Script("report")
_refuse = Script("refuse")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class SampleRules:
    """How many of a window's examples are kept for previews, and for how long."""

    most_examples: int
    """0 keeps none."""
    retention: timedelta


@dataclass(frozen=True)
class RedisIntake:
    """Implements Intake."""

    client: Redis
    rules: WindowRules
    sample: SampleRules
    latest: LatestRules
    durability: Durability
    """Of what is acknowledged."""

    async def append(self, block: Block, window: Interval) -> Stored:
        """Put a block into its window, once, and advance the watermark."""
        keys = ModelKeys(block.model)
        of_window = keys.window(window.start)
        pane, arrow = await asyncio.to_thread(self._pack, block)
        answer = await _append(
            self.client,
            [
                *(keys.meta, keys.checkpoint(block.digest)),
                *(keys.windows, keys.open, keys.reported),
                *(of_window.state, of_window.blocks, of_window.sample, *of_window.sample_orders),
                *(keys.panes, keys.latest, keys.latest_waiting, *keys.latest_orders),
            ],
            [
                *(block.block_id, block.digest, block.method.value, block.population.value),
                *(block.example_count, window_id(window.start), micros(window.start)),
                *(micros(window.end), micros(block.event_time), self._lateness, self._retention),
                *(pane, arrow, priority_of(block.block_id), self.sample.most_examples),
                int(self.sample.retention.total_seconds()),
                *(self.latest.examples_each, self.latest.step_examples),
            ],
            self.durability,
        )
        stored = _stored(answer) or _refuse_block(block, window, answer)
        if not stored.duplicate:
            STORED_BYTES.labels("pane").inc(len(pane))
        return stored

    async def report(self, report: OutcomeReport, window: Interval) -> Stored:
        """Add the counts to their window, once, and advance the watermark."""
        keys = ModelKeys(report.model)
        of_window = keys.window(window.start)
        answer = await _report(
            self.client,
            [
                *(keys.meta, keys.windows, keys.open, keys.reported),
                *(of_window.state, of_window.reports),
            ],
            [
                *(report.request_id, window_id(window.start), micros(window.start)),
                *(micros(window.end), micros(report.interval.end)),
                *(repr(report.expected), report.observed),
                *(self._lateness, self._retention),
            ],
            self.durability,
        )
        return _stored(answer) or _refuse_report(report, window, answer)

    async def refuse(self, model: str) -> None:
        """Count a block that was refused before it came here."""
        await _refuse(self.client, [ModelKeys(model).meta], [])

    def _pack(self, block: Block) -> tuple[bytes, bytes]:
        is_sampled = block.arrow_stream and self.sample.most_examples
        return pack_pane(block.pane), seal(block.arrow_stream) if is_sampled else b""

    @property
    def _lateness(self) -> int:
        return self.rules.allowed_lateness // _MICROSECOND

    @property
    def _retention(self) -> int:
        return int(self.rules.retention.total_seconds())


def _stored(answer: list[bytes | int]) -> Stored | None:
    if answer[0] not in (b"stored", b"duplicate"):
        return None
    return Stored(duplicate=answer[0] == b"duplicate", has_work=answer[1] == 1)


def _refuse_block(block: Block, window: Interval, answer: list[bytes]) -> NoReturn:
    name = window_name(block.model, window.start)
    if answer[0] == b"unknown":
        raise CheckpointNotFound(block.model, block.digest)
    if answer[0] == b"mismatch":
        digest, method = (part.decode() for part in answer[1:])
        raise CheckpointMismatch.within(name, digest, method)
    raise WindowClosed(name)


def _refuse_report(report: OutcomeReport, window: Interval, answer: list[bytes]) -> NoReturn:
    if answer[0] == b"unknown":
        raise ModelNotFound(report.model)
    raise WindowNotFound(window_name(report.model, window.start))
