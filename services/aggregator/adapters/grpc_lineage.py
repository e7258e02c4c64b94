"""The lineage graph over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import lineage_service_pb2 as pb
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceServicer
from services.aggregator.adapters import lineage_answers as answers
from services.aggregator.adapters.incoming import model_of
from services.aggregator.adapters.incoming_times import moment_of
from services.aggregator.adapters.lineage_messages import (
    facts_of,
    feature_facts,
    model_facts,
    stamp,
)
from services.aggregator.domain.errors import InvalidPosition
from services.aggregator.domain.horizon import Horizon
from services.aggregator.domain.lineage.nodes import parse_node
from services.aggregator.domain.lineage.propagation import Limits
from services.aggregator.domain.lineage.reach import Bounds
from services.aggregator.domain.lineage.view import Direction
from services.aggregator.find_common_causes import FindCommonCauses
from services.aggregator.get_blast_radius import GetBlastRadius
from services.aggregator.look_around import LookAround
from services.aggregator.record_lineage import RecordLineage
from services.aggregator.trace_propagation import TracePropagation
from services.aggregator.watch_propagation import Warned, WatchPropagation
from services.chassis.errors import DependencyUnavailable

_DEPTH, _NEAR = 6, 3
_FAN_OUT = 100
_NODES, _NODES_AROUND, _MODELS = 200, 1000, 100
_PATHS = 3
_CAUSES = 10
_LOOKBACK = timedelta(days=1)
_Context = grpc.aio.ServicerContext[Any, Any]
_DIRECTIONS = {
    pb.LineageDirection.LINEAGE_DIRECTION_UPSTREAM: [Direction.UPSTREAM],
    pb.LineageDirection.LINEAGE_DIRECTION_DOWNSTREAM: [Direction.DOWNSTREAM],
}


@dataclass(frozen=True)
class GraphMethods(LineageServiceServicer):
    """Answers LineageService's calls about the graph by the use cases."""

    record: RecordLineage
    look_around: LookAround
    trace_propagation: TracePropagation
    find_common_causes: FindCommonCauses
    get_blast_radius: GetBlastRadius
    watch_propagation: WatchPropagation
    clock: Callable[[], datetime]
    horizon: Horizon
    """What is told of later than that is refused: nothing told earlier could replace it."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Once set, watchers are sent elsewhere."""

    async def RegisterFeatures(  # noqa: N802 - the contract's name
        self, request: pb.RegisterFeaturesRequest, _: _Context
    ) -> pb.RegisterFeaturesResponse:
        """Take in what features are made of."""
        facts = feature_facts(request, self.clock())
        self.horizon.check(facts.time, "valid_from")
        is_new = await self.record(facts)
        return pb.RegisterFeaturesResponse(duplicate=not is_new)

    async def RegisterModel(  # noqa: N802 - the contract's name
        self, request: pb.RegisterModelRequest, _: _Context
    ) -> pb.RegisterModelResponse:
        """Take in what feeds a model and what it feeds."""
        facts = model_facts(request, self.clock())
        self.horizon.check(facts.time, "valid_from")
        is_new = await self.record(facts)
        return pb.RegisterModelResponse(duplicate=not is_new)

    async def RegisterLineage(  # noqa: N802 - the contract's name
        self, request: pb.RegisterLineageRequest, _: _Context
    ) -> pb.RegisterLineageResponse:
        """Take in any nodes and edges."""
        facts = await asyncio.to_thread(facts_of, request, self.clock())
        self.horizon.check(facts.time, "time")
        return pb.RegisterLineageResponse(duplicate=not await self.record(facts))

    async def GetLineage(  # noqa: N802 - the contract's name
        self, request: pb.GetLineageRequest, _: _Context
    ) -> pb.GetLineageResponse:
        """Show the graph around a node."""
        shown = await self.look_around(
            parse_node(request.node, "node"),
            _DIRECTIONS.get(request.direction, list(Direction)),
            request.depth or _NEAR,
            _time(request, "as_of"),
            request.node_limit or _NODES_AROUND,
        )
        return answers.surroundings_message(shown)

    async def TracePropagation(  # noqa: N802 - the contract's name
        self, request: pb.TracePropagationRequest, _: _Context
    ) -> pb.TracePropagationResponse:
        """Tell the story of a shift."""
        told, stretch = await self.trace_propagation(
            parse_node(request.node, "node"),
            _time(request, "start_time"),
            _time(request, "end_time"),
            Bounds(request.depth or _DEPTH, request.fan_out or _FAN_OUT),
            Limits(request.node_limit or _NODES, request.path_limit or _PATHS),
        )
        return answers.propagation_message(told, stretch)

    async def FindCommonCauses(  # noqa: N802 - the contract's name
        self, request: pb.FindCommonCausesRequest, _: _Context
    ) -> pb.FindCommonCausesResponse:
        """Say what best explains several shifts."""
        given = request.HasField("event_lookback")
        lookback = request.event_lookback.ToTimedelta() if given else _LOOKBACK
        bounds = Bounds(request.depth or _DEPTH, _FAN_OUT)
        limit = request.limit or _CAUSES
        if request.HasField("window"):
            found = await self.find_common_causes.of_window(
                request.window, lookback, bounds, limit, with_others=request.with_others
            )
        else:
            shifted = request.nodes
            found = await self.find_common_causes.of_nodes(
                [parse_node(node, f"nodes.nodes[{n}]") for n, node in enumerate(shifted.nodes)],
                _time(shifted, "time", "nodes"),
                lookback,
                bounds,
                limit,
            )
        return answers.causes_message(found)

    async def GetBlastRadius(  # noqa: N802 - the contract's name
        self, request: pb.GetBlastRadiusRequest, _: _Context
    ) -> pb.GetBlastRadiusResponse:
        """Say what would notice if something were switched off."""
        found = await self.get_blast_radius(
            [parse_node(node, f"nodes[{n}]") for n, node in enumerate(request.nodes)],
            model_of(request.model),
            Bounds(request.depth or _DEPTH, _FAN_OUT),
            request.limit or _MODELS,
            _time(request, "as_of"),
        )
        return answers.blast_radius_message(found)

    async def WatchPropagation(  # noqa: N802 - the contract's name
        self, request: pb.WatchPropagationRequest, _: _Context
    ) -> AsyncIterator[pb.WatchPropagationResponse]:
        """Warn a model's owner of what comes."""
        model = model_of(request.model)
        bounds = Bounds(request.depth or _DEPTH, _FAN_OUT)
        cursors = _cursors(request.cursor) if request.cursor else None
        watched = self.watch_propagation(model, cursors, bounds, request.least_expected_shift)
        async for some in watched:
            for warned in some:
                if request.send_start and not warned.warnings:
                    yield pb.WatchPropagationResponse(cursor=_cursor(warned.after))
                for response in _responses(model, warned, stamp(self.clock())):
                    yield response
            if self.stopping.is_set():
                raise DependencyUnavailable(
                    "the aggregator shuts down: watch another replica from the last cursor on"
                )


def _responses(model: str, warned: Warned, now: Timestamp) -> list[pb.WatchPropagationResponse]:
    """Return an event's warnings; who resumes after one but the last hears all of them again."""
    before, after = _cursor(warned.before), _cursor(warned.after)
    last = len(warned.warnings) - 1
    roots = [str(root) for root in warned.roots]
    cursors = [after if place == last else before for place in range(len(warned.warnings))]
    return [
        pb.WatchPropagationResponse(
            warning=answers.warning_message(model, warning, roots, cursor, now), cursor=cursor
        )
        for warning, cursor in zip(warned.warnings, cursors, strict=True)
    ]


def _cursor(cursors: Mapping[str, str]) -> str:
    return ",".join(f"{model}={cursor}" for model, cursor in sorted(cursors.items()))


def _cursors(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(model and cursor for model, _, cursor in pairs):
        raise InvalidPosition(
            f"{text[:80]!r} is not a cursor: pass back the one of the last warning, or none",
            field="cursor",
        )
    return {model: cursor for model, _, cursor in pairs}


def _time(message: Any, name: str, path: str = "") -> datetime | None:
    field = f"{path}.{name}" if path else name
    return moment_of(getattr(message, name), field) if message.HasField(name) else None
