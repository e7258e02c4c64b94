"""A block of importances enters its window."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.aggregator.domain.block import Block
from services.aggregator.domain.checkpoint import Checkpoint
from services.aggregator.domain.errors import (
    AheadOfTime,
    MalformedBlock,
    NotFinite,
    SeenInTraining,
)
from services.aggregator.domain.quantity import layout_of
from services.aggregator.domain.sketch import check_layout
from services.aggregator.domain.window import Interval, WindowRules, window_name
from services.aggregator.ports import CheckpointStore, Intake

_REFUSALS = (AheadOfTime, MalformedBlock, NotFinite, SeenInTraining)


@dataclass(frozen=True)
class Receipt:
    """The acknowledgement of a stored block."""

    window: str
    """Resource name."""
    duplicate: bool
    """Stored before; it counts once."""


@dataclass(frozen=True)
class Ingest:
    """Checks a block against its checkpoint and stores it, once."""

    checkpoints: CheckpointStore
    intake: Intake
    rules: WindowRules
    clock: Callable[[], datetime]
    on_work: Callable[[str], None]
    """Told the model when a block leaves a window to close or to evaluate."""

    async def __call__(self, model: str, read: Callable[[], Block]) -> Receipt:
        """Store the block that `read` returns; it is called off the event loop.

        Raises:
            MalformedBlock, NotFinite, SeenInTraining, AheadOfTime, WindowClosed,
            CheckpointMismatch: the block is refused and counted.
            CheckpointNotFound: register its checkpoint and send it again.
        """
        try:
            block = await asyncio.to_thread(read)
            window = await self._admit(block)
        except _REFUSALS:
            await self.intake.refuse(model)
            raise
        stored = await self.intake.append(block, window)
        if stored.has_work:
            self.on_work(model)
        return Receipt(window_name(model, window.start), stored.duplicate)

    async def _admit(self, block: Block) -> Interval:
        self.rules.check_not_ahead(block.event_time, self.clock(), "block.event_time")
        checkpoint = await self.checkpoints.find(block.model, block.digest)
        window = self.rules.containing(block.event_time)
        _check_unseen(checkpoint, window)
        if block.feature_count != len(checkpoint.features):
            raise MalformedBlock(
                f"offsets for {block.feature_count} features; {checkpoint.name} has "
                f"{len(checkpoint.features)}",
                field="block.feature_offsets",
            )
        if block.sketch is not None:
            layout = layout_of(checkpoint.features)
            await asyncio.to_thread(check_layout, block.sketch, layout, block.example_count)
        return window


def _check_unseen(checkpoint: Checkpoint, window: Interval) -> None:
    if window.start < checkpoint.trained_until:
        raise SeenInTraining(
            f"{checkpoint.name} has seen data until {checkpoint.trained_until.isoformat()}, after "
            f"the window's start {window.start.isoformat()}: score the window with an earlier "
            "checkpoint",
            field="block.event_time",
        )
