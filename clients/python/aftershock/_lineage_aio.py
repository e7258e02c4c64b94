"""What the client tells and asks of lineage, from an event loop."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from aftershock import _lineage_calls as calls
from aftershock._aio_caller import AioCaller
from aftershock.v1.lineage_service_pb2 import ListedEvent, RegisterLineageRequest


class AioLineageClient(AioCaller):
    """What feeds what, and what happened to it."""

    async def register_lineage(self, lineage: RegisterLineageRequest) -> bool:
        """Tell what feeds what. See aftershock.Client.register_lineage."""
        return await self._run(calls.register_lineage(lineage))

    async def record_event(
        self,
        kind: str,
        node: str,
        summary: str,
        *,
        time: datetime | None = None,
        actor: str = "",
        details: Mapping[str, object] | None = None,
        event_id: str | None = None,
    ) -> bool:
        """Tell of something that happened. See aftershock.Client.record_event."""
        flow = calls.record_event(
            kind, node, summary, time=time, actor=actor, details=details, event_id=event_id
        )
        return await self._run(flow)

    async def events(
        self,
        nodes: Iterable[str] = (),
        *,
        depth: int = 0,
        start: datetime | None = None,
        end: datetime | None = None,
        kinds: Iterable[str] = (),
        limit: int | None = None,
    ) -> list[ListedEvent]:
        """Return what happened, the latest first. See aftershock.Client.events."""
        flow = calls.list_events(nodes, depth=depth, start=start, end=end, kinds=kinds, limit=limit)
        return await self._run(flow)
