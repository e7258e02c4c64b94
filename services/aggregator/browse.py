"""What readers ask of models and windows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.aggregator.domain.block import Population
from services.aggregator.domain.checkpoint import Checkpoint
from services.aggregator.domain.errors import (
    InvalidPosition,
    ModelNotFound,
    SampleNotRetained,
    WindowNotFound,
)
from services.aggregator.domain.latest import LatestWindow
from services.aggregator.domain.ranking import rank_importances
from services.aggregator.domain.shift import FeatureImportance
from services.aggregator.domain.window import ModelState, Window, parse_window_id, window_id
from services.aggregator.find import Find
from services.aggregator.measure import Measure
from services.aggregator.ports import CheckpointStore, ModelDirectory, WindowReader


@dataclass(frozen=True)
class ModelOverview:
    """A model, its latest checkpoint and its latest window."""

    state: ModelState
    checkpoint: Checkpoint
    latest_window: Window | None


@dataclass(frozen=True)
class ListModels:
    """Pages through all models by name."""

    directory: ModelDirectory
    checkpoints: CheckpointStore
    windows: WindowReader

    async def __call__(self, page_size: int, page_token: str) -> tuple[list[ModelOverview], str]:
        """Return the models after the token, and the token of the next page, empty on the last."""
        names = [name for name in await self.directory.models() if name > page_token]
        page = names[:page_size]
        overviews = [found for name in page if (found := await self._overview(name)) is not None]
        return overviews, page[-1] if len(names) > page_size else ""

    async def _overview(self, name: str) -> ModelOverview | None:
        try:
            state = await self.directory.model(name)
        except ModelNotFound:
            # Its retention ran out since it was listed.
            return None
        checkpoint = await self.checkpoints.find(name, state.digest)
        latest = await self.windows.windows(name, before=None, limit=1)
        return ModelOverview(state, checkpoint, latest[0] if latest else None)


@dataclass(frozen=True)
class ListWindows:
    """Pages through a model's windows, newest first."""

    directory: ModelDirectory
    windows: WindowReader

    async def __call__(
        self, model: str, page_size: int, page_token: str
    ) -> tuple[Sequence[Window], str]:
        """Return the windows after the token, and the token of the next page, empty on the last.

        Raises:
            ModelNotFound: nothing is known of the model.
            InvalidPosition: the token is not one of this list's.
        """
        await self.directory.model(model)
        before = _parse_token(page_token) if page_token else None
        found = await self.windows.windows(model, before, page_size + 1)
        page = found[:page_size]
        return page, window_id(page[-1].interval.start) if len(found) > page_size else ""


@dataclass(frozen=True)
class GetGfi:
    """Ranks the features of one window by importance."""

    checkpoints: CheckpointStore
    find: Find
    measure: Measure

    async def __call__(self, name: str) -> tuple[Window, Sequence[FeatureImportance]]:
        """Return the window and its importances by rank; an open window's are those of just now.

        Raises:
            WindowNotFound: nothing is kept of the window, or it holds no examples.
            CorruptValue: its summary does not match its checksum.
        """
        window = await self.find(name)
        if not window.example_count:
            raise WindowNotFound(f"{window.name} with examples")
        checkpoint = await self.checkpoints.find(window.model, window.digest)
        if isinstance(window, LatestWindow):
            return window, rank_importances(checkpoint.features, window.summary)
        return window, rank_importances(checkpoint.features, await self.measure(window))


@dataclass(frozen=True)
class GetWindowSample:
    """Hands out the examples that were kept of a window."""

    windows: WindowReader

    async def __call__(
        self, model: str, start: datetime, populations: Collection[Population]
    ) -> tuple[Window, Sequence[bytes]]:
        """Return the window and the kept Arrow streams of the populations.

        Raises:
            WindowNotFound: nothing is kept of the window.
            SampleNotRetained: none of these examples are.
        """
        window = await self.windows.window(model, start)
        streams = await self.windows.sample(window, populations)
        if not streams:
            raise SampleNotRetained(window.name)
        return window, streams


def _parse_token(token: str) -> datetime:
    try:
        return parse_window_id(token)
    except ValueError as error:
        raise InvalidPosition(
            f"{token!r} is not a page token of this list: start again without one",
            field="page_token",
        ) from error
