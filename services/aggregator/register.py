"""A checkpoint is registered by whoever sends importances made with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.aggregator.domain.checkpoint import Checkpoint
from services.aggregator.domain.errors import ModelNotFound
from services.aggregator.domain.lineage.facts import EventKind, TimelineEvent
from services.aggregator.domain.lineage.nodes import model_node
from services.aggregator.lineage_ports import Timeline
from services.aggregator.ports import CheckpointStore, ModelDirectory

_ACTOR = "attribution"


@dataclass(frozen=True)
class Register:
    """Keeps a checkpoint; one that is new to its model is an event of the model."""

    checkpoints: CheckpointStore
    directory: ModelDirectory
    timeline: Timeline
    now: Callable[[], datetime]

    async def __call__(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint and make it the model's latest.

        Raises:
            CheckpointMismatch: the digest is registered with other content.
        """
        if await self._latest_digest(checkpoint.model) != checkpoint.digest:
            # First the event: if this process dies in between, the sender tries again, and an event
            # that comes twice counts once.
            await self.timeline.record([self._event(checkpoint)])
        await self.checkpoints.register(checkpoint)

    async def _latest_digest(self, model: str) -> str | None:
        try:
            return (await self.directory.model(model)).digest
        except ModelNotFound:
            return None

    def _event(self, checkpoint: Checkpoint) -> TimelineEvent:
        return TimelineEvent(
            event_id=f"checkpoint:{checkpoint.model}:{checkpoint.digest}",
            node=model_node(checkpoint.model),
            kind=EventKind.CHECKPOINT_PUBLISH,
            time=self.now(),
            summary=(
                f"{checkpoint.name} scores; it has seen data until "
                f"{checkpoint.trained_until:%Y-%m-%d %H:%M}"
            ),
            actor=_ACTOR,
        )
