"""What the client tells and asks of the lineage graph, from an event loop."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import datetime, timedelta

from aftershock import _graph_calls as calls
from aftershock._aio_caller import AioCaller
from aftershock._backoff import Backoff
from aftershock._errors import Unavailable
from aftershock._group_calls import GroupTest, group_test
from aftershock._log import logger
from aftershock.v1.lineage_pb2 import PropagationWarning
from aftershock.v1.lineage_service_pb2 import (
    FeatureSources,
    FindCommonCausesResponse,
    GetBlastRadiusResponse,
    GetLineageResponse,
    OutputFeed,
    TracePropagationResponse,
)
from aftershock.v1.window_pb2 import Window


class AioGraphClient(AioCaller):
    """How shifts spread, and where they came from."""

    async def register_features(
        self, features: Iterable[FeatureSources], *, since: datetime | None = None
    ) -> bool:
        """Tell what features are made of. See aftershock.Client.register_features."""
        return await self._run(calls.register_features(features, since))

    async def register_model(
        self,
        model: str,
        *,
        features: Iterable[str] = (),
        feeds: Iterable[OutputFeed] = (),
        owner: str = "",
        description: str = "",
        since: datetime | None = None,
    ) -> bool:
        """Tell what feeds a model and what it feeds. See aftershock.Client.register_model."""
        flow = calls.register_model(
            model, features, feeds, owner=owner, description=description, since=since
        )
        return await self._run(flow)

    async def lineage(
        self, node: str, *, depth: int = 3, as_of: datetime | None = None
    ) -> GetLineageResponse:
        """Return the graph around a node. See aftershock.Client.lineage."""
        return await self._run(calls.lineage(node, depth, as_of))

    async def trace_propagation(
        self,
        node: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        depth: int = 6,
    ) -> TracePropagationResponse:
        """Return the story of a shift. See aftershock.Client.trace_propagation."""
        return await self._run(calls.trace_propagation(node, start, end, depth))

    async def common_causes(
        self,
        shifted: str | Iterable[str],
        *,
        time: datetime | None = None,
        depth: int = 6,
        lookback: timedelta | None = None,
        limit: int = 10,
        with_others: bool = False,
    ) -> FindCommonCausesResponse:
        """Return what best explains several shifts. See aftershock.Client.common_causes."""
        flow = calls.common_causes(shifted, time, depth, lookback, limit, with_others=with_others)
        return await self._run(flow)

    async def blast_radius(
        self, nodes: Iterable[str], *, within: str | None = None, depth: int = 6
    ) -> GetBlastRadiusResponse:
        """Return which models would notice. See aftershock.Client.blast_radius."""
        return await self._run(calls.blast_radius(nodes, within, depth))

    async def test_group(
        self,
        nodes: Iterable[str],
        *,
        model: str | None = None,
        window: Window | str | None = None,
        control: Window | str | None = None,
        earlier: int = 6,
    ) -> GroupTest:
        """Return how a joint importance moved. See aftershock.Client.test_group."""
        flow = group_test(
            nodes, self._model_name(model), window=window, control=control, earlier=earlier
        )
        return await self._run(flow)

    async def watch_propagation(
        self,
        model: str | None = None,
        *,
        cursor: str = "",
        depth: int = 6,
        least_expected_shift: float = 0.0,
    ) -> AsyncGenerator[PropagationWarning]:
        """Yield shifts on their way to a model. See aftershock.Client.watch_propagation."""
        backoff = Backoff()
        while True:
            name = self._model_name(model)
            call = calls.watch_propagation(name, cursor, depth, least_expected_shift)
            try:
                async with aclosing(self._stream(call)) as answers:
                    async for answer in answers:
                        backoff.reset()
                        cursor = answer.cursor or answer.warning.cursor or cursor
                        if answer.HasField("warning"):
                            yield answer.warning
            except Unavailable as error:
                logger.warning("%s; trying again", error)
            await asyncio.sleep(backoff.pause())
