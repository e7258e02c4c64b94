"""Puts together what answers for lineage, over Redis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis.asyncio import Redis

from services.aggregator.adapters.grpc_lineage import GraphMethods
from services.aggregator.adapters.grpc_timeline import TimelineMethods
from services.aggregator.adapters.lineage_keeper import LineageKeeper
from services.aggregator.adapters.marquez_http import MarquezHttp
from services.aggregator.adapters.openlineage_http import OpenLineageHttp
from services.aggregator.adapters.redis_checkpoints import RedisCheckpoints
from services.aggregator.adapters.redis_lineage import RedisLineage
from services.aggregator.adapters.redis_schemas import RedisSchemas
from services.aggregator.adapters.redis_shifts import RedisShifts
from services.aggregator.adapters.redis_timeline import RedisTimeline
from services.aggregator.adapters.redis_windows import RedisWindows
from services.aggregator.compare import Compare
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.horizon import Horizon
from services.aggregator.domain.window import WindowRules
from services.aggregator.find import Find
from services.aggregator.find_common_causes import FindCommonCauses
from services.aggregator.follow_lineage import FollowLineage
from services.aggregator.follow_models import FollowModels
from services.aggregator.get_blast_radius import GetBlastRadius
from services.aggregator.list_events import ListEvents
from services.aggregator.look_around import LookAround, LookUpstream
from services.aggregator.observe import Observe
from services.aggregator.record_event import RecordEvent
from services.aggregator.record_lineage import RecordLineage
from services.aggregator.trace_propagation import TracePropagation
from services.aggregator.watch_propagation import WatchPropagation
from services.chassis.http.server import Route

_COLUMNS_KEPT = timedelta(days=90)
"""How long a dataset's columns are known after a pipeline last told of them."""


@dataclass(frozen=True)
class LineageServicer(GraphMethods, TimelineMethods):
    """Answers all of LineageService's calls."""


@dataclass(frozen=True)
class Lineage:
    """What answers for lineage."""

    servicer: LineageServicer
    keeper: LineageKeeper
    """Runs as long as the service."""
    timeline: RedisTimeline
    """Where others tell of what happened."""
    routes: Sequence[Route]
    """What is answered over HTTP: OpenLineage's events and Marquez' read API."""


@dataclass(frozen=True)
class WindowParts:
    """What answers for windows, as far as lineage asks it."""

    rules: WindowRules
    checkpoints: RedisCheckpoints
    windows: RedisWindows
    shifts: RedisShifts
    find: Find
    compare: Compare
    selection: ControlSelection


def lineage_of(client: Redis, parts: WindowParts, clock: Callable[[], datetime]) -> Lineage:
    """Wire lineage to its Redis and to the windows; nothing connects yet."""
    rules = parts.rules
    store = RedisLineage(client, rules.retention, clock)
    timeline = RedisTimeline(client, rules.retention, clock)
    follow = FollowLineage(store, store, rules.retention, clock)
    models = FollowModels(parts.checkpoints, parts.checkpoints, parts.windows, parts.shifts, follow)
    causes = FindCommonCauses(
        lineage=follow,
        models=models,
        timeline=timeline,
        find=parts.find,
        compare=parts.compare,
        selection=parts.selection,
        recent=2 * rules.length,
        clock=clock,
    )
    record, horizon = RecordLineage(store, timeline), Horizon(rules.furthest_ahead, clock)
    servicer = LineageServicer(
        record=record,
        look_around=LookAround(follow, clock),
        trace_propagation=TracePropagation(follow, models, clock),
        find_common_causes=causes,
        get_blast_radius=GetBlastRadius(follow, clock),
        watch_propagation=WatchPropagation(
            parts.checkpoints, parts.shifts, follow, models, causes, clock
        ),
        clock=clock,
        horizon=horizon,
        record_event=RecordEvent(timeline, horizon),
        list_events=ListEvents(timeline, LookUpstream(follow), clock),
    )
    schemas = RedisSchemas(client, _COLUMNS_KEPT)
    observe = Observe(schemas, record, horizon)
    return Lineage(
        servicer=servicer,
        keeper=LineageKeeper(models, follow.tend),
        timeline=timeline,
        routes=(
            *OpenLineageHttp(observe).routes(),
            *MarquezHttp(servicer.look_around, schemas).routes(),
        ),
    )
