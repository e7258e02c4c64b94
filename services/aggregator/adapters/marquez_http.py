"""Marquez' read API over HTTP: the graph as existing tools ask for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from services.aggregator.adapters.marquez_graph import (
    Schemas,
    column_graph,
    datasets_of,
    lineage_graph,
    nodes_meant,
)
from services.aggregator.domain.lineage.errors import NodeNotFound
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind
from services.aggregator.domain.lineage.view import Direction
from services.aggregator.lineage_ports import SchemaStore
from services.aggregator.look_around import LookAround, Surroundings
from services.chassis.errors import InvalidRequest
from services.chassis.http.server import Route
from services.chassis.tokens import Role

_DEPTH, _DEEPEST = 20, 25
_EDGES_A_STEP = 2
_MOST_NODES = 2000
_MOST_COLUMNS = 200
_BOTH = [Direction.UPSTREAM, Direction.DOWNSTREAM]


@dataclass(frozen=True)
class MarquezHttp:
    """Answers what Marquez would. `truncated` is ours: more lies beyond what is shown."""

    look_around: LookAround
    schemas: SchemaStore

    def routes(self) -> Sequence[Route]:
        """Return what is answered, to whom."""
        return (
            Route("GET", "/api/v1/lineage", Role.READER, self.lineage),
            Route("GET", "/api/v1/column-lineage", Role.READER, self.column_lineage),
        )

    async def lineage(self, request: web.Request) -> web.Response:
        """Show the jobs and datasets around one; a step leads from one job to the next."""
        edges = _EDGES_A_STEP * _depth(request)
        found = await self._find(_node(request), _BOTH, edges)
        return _shown([found], lineage_graph(found, await self._schemas([found])))

    async def column_lineage(self, request: web.Request) -> web.Response:
        """Show what columns are made of, and with `withDownstream` what is made of them."""
        depth = _depth(request)
        downstream = request.query.get("withDownstream", "false").lower() == "true"
        directions = _BOTH if downstream else [Direction.UPSTREAM]
        meant = _node(request)
        found = [
            await self.look_around(column, directions, depth, limit=_MOST_NODES)
            for column in await self._columns(meant)
        ]
        return _shown(found, column_graph(found, await self._schemas(found)))

    async def _columns(self, meant: Sequence[NodeId]) -> list[NodeId]:
        """Return the columns that are asked for: one, or those of a dataset or of a job's."""
        if meant[0].kind is NodeKind.COLUMN:
            found = await self._find(meant, [Direction.UPSTREAM], 0)
            return [found.nodes[0][0].id]
        is_job = meant[0].kind is NodeKind.JOB
        around = await self._find(meant, [Direction.DOWNSTREAM], _EDGES_A_STEP if is_job else 1)
        kinds = (node.id for node, _ in around.nodes)
        return [node for node in kinds if node.kind is NodeKind.COLUMN][:_MOST_COLUMNS]

    async def _find(
        self, meant: Sequence[NodeId], directions: Sequence[Direction], depth: int
    ) -> Surroundings:
        for node in meant[:-1]:
            try:
                return await self.look_around(node, directions, depth, limit=_MOST_NODES)
            except NodeNotFound:
                continue
        return await self.look_around(meant[-1], directions, depth, limit=_MOST_NODES)

    async def _schemas(self, found: Iterable[Surroundings]) -> Schemas:
        return await self.schemas.latest(set(datasets_of(found)))


def _node(request: web.Request) -> Sequence[NodeId]:
    text = request.query.get("nodeId")
    if not text:
        raise InvalidRequest([("nodeId", "is needed: such as dataset:NAMESPACE:NAME")])
    return nodes_meant(text)


def _depth(request: web.Request) -> int:
    text = request.query.get("depth", str(_DEPTH))
    if not text.isdecimal() or not text.isascii():
        raise InvalidRequest([("depth", f"{text!r} is no whole number")])
    return min(int(text), _DEEPEST)


def _shown(found: Iterable[Surroundings], graph: dict[str, Any]) -> web.Response:
    cuts = (around.truncation for around in found)
    is_truncated = any(cut.depth or cut.fan_out or cut.size for cut in cuts)
    return web.json_response(graph | {"truncated": is_truncated})
