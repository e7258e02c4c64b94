"""How many examples the windows of a model need to be trusted."""

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.block import Pane
from services.aggregator.domain.checkpoint import Feature
from services.aggregator.domain.errors import WindowNotFound
from services.aggregator.domain.gfi import Weights, gather
from services.aggregator.domain.latest import LatestWindow
from services.aggregator.domain.sample_size import needed_sizes, scaled_sizes
from services.aggregator.domain.summary import Summary, summarise
from services.aggregator.domain.window import Window
from services.aggregator.find import Find
from services.aggregator.ports import CheckpointStore, WindowReader

_SHOWN = 10


@dataclass(frozen=True)
class Need:
    """How many examples one feature needs, and what is known of it in the window."""

    feature: Feature
    sample_size: int
    gfi: float
    standard_error: float


@dataclass(frozen=True)
class SampleSize:
    """How many examples a window needs for every standard error to be under a tolerance."""

    window: Window
    is_resampled: bool
    """By the window's importances; otherwise by the standard errors that are kept of it."""
    needs: Sequence[Need]
    """Of the features that need most, the first one's is the answer."""


@dataclass(frozen=True)
class ChooseSampleSize:
    """Bootstraps an open window at other sizes; extrapolates a closed one's standard errors.

    A closed window's importances have been let go; those of the latest change too fast.
    """

    checkpoints: CheckpointStore
    find: Find
    windows: WindowReader
    resamples: int

    async def __call__(self, name: str, tolerance: float) -> SampleSize:
        """Return the smallest size.

        Raises:
            WindowNotFound: nothing is kept of the window, or it holds no examples.
            InvalidTolerance: more than a billion examples would be needed.
            CorruptValue: the window's summary does not match its checksum.
        """
        window = await self.find(name)
        summary = await self._kept(window)
        panes = [] if summary else await self.windows.panes(window)
        # If it has been closed since, its panes may have been taken from under us.
        summary = summary or await self._kept(window)
        if summary is None and not panes:
            raise WindowNotFound(f"{window.name} with examples")
        checkpoint = await self.checkpoints.find(window.model, window.digest)
        if summary is not None:
            sizes = _extrapolated(summary, tolerance)
            return SampleSize(window, False, _needs(checkpoint.features, summary, sizes))
        live, sizes = await asyncio.to_thread(
            _resampled, panes, window.name, tolerance, self.resamples
        )
        return SampleSize(window, True, _needs(checkpoint.features, live, sizes))

    async def _kept(self, window: Window) -> Summary | None:
        if isinstance(window, LatestWindow):
            return window.summary
        return await self.windows.summary(window)


def _extrapolated(summary: Summary, tolerance: float) -> NDArray[np.int64]:
    weights = Weights(summary.considered_count, summary.displayed_count)
    return scaled_sizes(summary.standard_error, weights, tolerance)


def _resampled(
    panes: Sequence[Pane], name: str, tolerance: float, resamples: int
) -> tuple[Summary, NDArray[np.int64]]:
    count = panes[0].feature_count
    summary = summarise(panes, count, name, resamples)
    seed = zlib.crc32(name.encode())
    return summary, needed_sizes(gather(panes, count), tolerance, resamples, seed)


def _needs(
    features: Sequence[Feature], summary: Summary, sizes: NDArray[np.int64]
) -> Sequence[Need]:
    return [
        Need(features[j], int(sizes[j]), float(summary.gfi[j]), float(summary.standard_error[j]))
        for j in np.argsort(-sizes, kind="stable")[:_SHOWN]
    ]
