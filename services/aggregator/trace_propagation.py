"""A shift is followed to where it should be felt, and back to where it came from."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.aggregator.domain.lineage.errors import InvalidQuestion
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.observations import Observations
from services.aggregator.domain.lineage.propagation import Limits, Propagation, trace
from services.aggregator.domain.lineage.reach import Bounds
from services.aggregator.domain.window import Interval
from services.aggregator.follow_lineage import FollowLineage
from services.aggregator.follow_models import FollowModels

_A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class TracePropagation:
    """Holds the lineage graph against what the windows of all models showed."""

    lineage: FollowLineage
    models: FollowModels
    clock: Callable[[], datetime]

    async def __call__(
        self,
        node: NodeId,
        start: datetime | None,
        end: datetime | None,
        bounds: Bounds,
        limits: Limits,
    ) -> tuple[Propagation, Interval]:
        """Tell the story of a shift of the node, and of which stretch of time it is.

        Windows that start in the stretch count, and the graph is as it was at its end: now, if
        nobody says otherwise, and a day after its start.

        Raises:
            InvalidQuestion: the stretch ends before it begins.
            NodeNotFound: nobody told of the node.
        """
        until = end or self.clock()
        stretch = Interval(start or until - _A_DAY, until)
        if stretch.start >= stretch.end:
            raise InvalidQuestion("start_time must be before end_time", field="start_time")
        sightings = self.models.sightings(stretch.start, stretch.end)

        def answer(graph: LineageGraph) -> Propagation:
            view = graph.at(until)
            seen = Observations.of(sightings, graph.nodes)
            return trace(view, view.number(node, "node"), seen, bounds, limits)

        return await self.lineage(answer), stretch
