"""What happened to nodes, and to what feeds them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from services.aggregator.domain.errors import InvalidPosition
from services.aggregator.domain.lineage.facts import TimelineEvent
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.lineage_ports import EventPosition, EventQuery, Timeline, Upstream

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class EventAround:
    """An event and the fewest edges from its node to those that were asked for."""

    event: TimelineEvent
    distance: int


@dataclass(frozen=True)
class ListEvents:
    """Pages through events, the latest first."""

    timeline: Timeline
    upstream: Upstream
    now: Callable[[], datetime]

    async def __call__(
        self, query: EventQuery, depth: int, page_size: int, page_token: str
    ) -> tuple[Sequence[EventAround], str]:
        """Return events after the token, and the token of the next page, empty on the last.

        Args:
            query: which are asked for; with nodes, those of nodes upstream of them as well.
            depth: how many edges upstream, in the graph as it was at the query's start or end: what
                was cut off in between may have been what happened.
            page_size: most events to return.
            page_token: of the page before, or empty.

        Raises:
            InvalidPosition: the token is not one of this list's.
        """
        after = _position(page_token) if page_token else None
        distances = await self._distances(query, depth)
        around = query if query.nodes is None else replace(query, nodes=distances.keys())
        found = await self.timeline.events(around, page_size + 1, after)
        page = found[:page_size]
        events = [EventAround(event, distances.get(event.node, 0)) for event in page]
        return events, _token(page[-1]) if len(found) > page_size else ""

    async def _distances(self, query: EventQuery, depth: int) -> Mapping[NodeId, int]:
        nodes: Collection[NodeId] = query.nodes or ()
        known = dict.fromkeys(nodes, 0)
        if not (nodes and depth):
            return known
        for time in {query.start or query.end or self.now(), query.end or self.now()}:
            for node, distance in (await self.upstream(nodes, depth, time)).items():
                known[node] = min(distance, known.get(node, distance))
        return known


def _token(event: TimelineEvent) -> str:
    return f"{(event.time - _EPOCH) // _MICROSECOND}:{event.event_id}"


def _position(token: str) -> EventPosition:
    number, _, identifier = token.partition(":")
    try:
        return EventPosition(_EPOCH + int(number) * _MICROSECOND, identifier)
    except (ValueError, OverflowError) as error:
        raise InvalidPosition(
            f"{token!r} is not a page token of this list: start again without one",
            field="page_token",
        ) from error
