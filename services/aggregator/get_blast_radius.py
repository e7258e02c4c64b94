"""What would notice if something were switched off is found before it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.aggregator.domain.lineage.blast_radius import BlastRadius, blast_radius
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.nodes import NodeId, model_node
from services.aggregator.domain.lineage.reach import Bounds
from services.aggregator.domain.lineage.view import numbers_of
from services.aggregator.follow_lineage import FollowLineage


@dataclass(frozen=True)
class GetBlastRadius:
    """Asks the lineage graph."""

    lineage: FollowLineage
    clock: Callable[[], datetime]

    async def __call__(
        self,
        nodes: Sequence[NodeId],
        model: str,
        bounds: Bounds,
        limit: int,
        as_of: datetime | None = None,
    ) -> BlastRadius:
        """Return what changes if the nodes are switched off together.

        Args:
            nodes: which.
            model: they are features, switched off in this model only; empty: for all they feed.
            bounds: how far to look.
            limit: most models to tell of.
            as_of: the graph is taken as it was then; None: now.

        Raises:
            NodeNotFound: nobody told of a node, or of the model.
        """

        def answer(graph: LineageGraph) -> BlastRadius:
            view = graph.at(as_of or self.clock())
            numbers = numbers_of(view, nodes, "nodes")
            within = view.number(model_node(model), "model") if model else None
            return blast_radius(view, numbers, within, bounds, limit)

        return await self.lineage(answer)
