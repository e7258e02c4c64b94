"""What the client asks of attribution, from an event loop."""

import asyncio
from datetime import datetime
from pathlib import Path

from aftershock import _attribution_calls as calls
from aftershock._aio_caller import AioCaller
from aftershock._base import RACE_TIMEOUT
from aftershock._log import Examples, Population
from aftershock.v1.attribution_service_pb2 import ExplainCheckpointResponse, RaceStanding, Racing
from aftershock.v1.checkpoint_pb2 import Checkpoint


class AioAttributionClient(AioCaller):
    """Checkpoints and races."""

    async def race(
        self,
        examples: Examples,
        *,
        racing: Racing,
        event_time: datetime,
        population: Population = "considered",
        seed: int = 0,
        timeout: float = RACE_TIMEOUT,  # noqa: ASYNC109 - the sync client's parameters
    ) -> RaceStanding:
        """Find the features that matter most to examples. See aftershock.Client.race."""
        # gRPC's async client loses the status of a stream that ends while it still writes.
        return await asyncio.to_thread(
            self._race,
            self._blocking_channels,
            examples,
            racing=racing,
            event_time=event_time,
            population=population,
            seed=seed,
            timeout=timeout,
        )

    async def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that attribution holds."""
        return await self._run(calls.list_checkpoints())

    async def explain_checkpoint(self, name: str | None = None) -> ExplainCheckpointResponse:
        """Return how a checkpoint is ablated, what falls back and why, and what it costs."""
        return await self._run(calls.explain_checkpoint(self._model_name(name)))

    async def load_checkpoint(self, folder: str | Path) -> Checkpoint:
        """Load a checkpoint folder, which lies on attribution's disk under an allowed root."""
        return await self._run(calls.load_checkpoint(str(folder)))
