"""Asks checkpoints about one example before an audit of hours is started."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from services.audit.domain.errors import AuditError, InvalidParameters, PartnerUnavailable
from services.audit.domain.parameters import (
    AuditParameters,
    InsertionParameters,
    SaliencyParameters,
)
from services.audit.ports import CheckpointTests, SnapshotSource

_SOME_ID = 1
"""Every list that can hold an id can hold this one."""
_MOST_POINTS = 2**28
"""Of all maps together: a GiB."""

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class TryCheckpoints:
    """Finds out what attribution will refuse, so that the person who asks can mend it."""

    source: SnapshotSource
    tests: CheckpointTests
    """That do not wait for long: who is away now may be there when the audit needs it."""

    async def __call__(self, parameters: AuditParameters) -> None:
        """Check what the audit will ask of checkpoints.

        Raises:
            PartnerRefused: attribution will not do it.
            PartnerFailed: there is no attribution, or it does not let this service in.
            SnapshotRefused: there are no examples.
            InvalidParameters: maps would take too much memory.
        """
        if parameters.insertion is not None:
            with contextlib.suppress(PartnerUnavailable):
                await self._insertion(parameters.insertion)
        if parameters.saliency is not None:
            with contextlib.suppress(PartnerUnavailable):
                await self._saliency(parameters.saliency)

    async def _insertion(self, wanted: InsertionParameters) -> None:
        file = wanted.examples_file
        example = await _read("insertion.examples_file", lambda: self.source.examples(file, 1))
        await self.tests.insertions(wanted, [_SOME_ID], example)

    async def _saliency(self, wanted: SaliencyParameters) -> None:
        points = wanted.example_count * wanted.height * wanted.width
        if points > _MOST_POINTS:
            raise InvalidParameters(
                f"{wanted.example_count} maps of {wanted.height} x {wanted.width} have {points:,} "
                f"points, and {_MOST_POINTS:,} are the most: look at fewer or smaller ones",
                field="parameters.saliency.example_count",
            )
        file, mask = wanted.examples_file, wanted.mask_column
        shape = 1, wanted.height, wanted.width
        await _read("saliency.mask_column", lambda: self.source.masks(file, mask, shape))
        example = await _read(
            "saliency.examples_file", lambda: self.source.examples(file, 1, [mask])
        )
        for checkpoint in (wanted.checkpoint, wanted.clean_checkpoint):
            if checkpoint is not None:
                await self.tests.saliency(checkpoint, wanted, example)


async def _read(field: str, read: Callable[[], _Read]) -> _Read:
    """Return what is read, or blame a field among the parameters."""
    try:
        return await asyncio.to_thread(read)
    except AuditError as error:
        error.field = f"parameters.{field}"
        raise
