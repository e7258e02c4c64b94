"""What one feature's values and LFIs looked like in a window."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.aggregator.domain.description import Description, describe
from services.aggregator.domain.errors import FeatureNotFound, WindowNotFound
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.window import Window
from services.aggregator.measure import Measure
from services.aggregator.ports import CheckpointStore


@dataclass(frozen=True)
class Describe:
    """Reads a feature's description out of the window's profile."""

    checkpoints: CheckpointStore
    measure: Measure

    async def __call__(self, window: Window, name: str) -> Description:
        """Return the description of the feature; an open window's is that of just now.

        Raises:
            WindowNotFound: the window holds no examples.
            FeatureNotFound: its checkpoint has no such feature.
            CorruptValue: its summary does not match its checksum.
        """
        if not window.example_count:
            raise WindowNotFound(f"{window.name} with examples")
        checkpoint = await self.checkpoints.find(window.model, window.digest)
        names = [feature.name for feature in checkpoint.features]
        if name not in names:
            raise FeatureNotFound(checkpoint.name, name)
        summary = await self.measure(window)
        place = names.index(name)
        values = await asyncio.to_thread(describe, checkpoint.features, place, summary.profile)
        return replace(
            values,
            coverage=float(summary.coverage[place]),
            lfi_quantiles=_lfi_quantiles(summary, place),
        )


def _lfi_quantiles(summary: Summary, place: int) -> Sequence[float]:
    if summary.quantiles is None or summary.coverage[place] == 0:
        return ()
    return [float(value) for value in summary.quantiles[place]]
