"""What several features that shifted together have in common upstream is found."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from services.aggregator.compare import Compare
from services.aggregator.domain.control import ControlSelection
from services.aggregator.domain.lineage.common_causes import Hypothesis, find_causes
from services.aggregator.domain.lineage.errors import InvalidQuestion
from services.aggregator.domain.lineage.facts import EventKind, TimelineEvent
from services.aggregator.domain.lineage.graph import LineageGraph
from services.aggregator.domain.lineage.group_test import find_groups, groups_of
from services.aggregator.domain.lineage.nodes import NodeId, feature_node
from services.aggregator.domain.lineage.observations import FeatureMove, Observations, Sighting
from services.aggregator.domain.lineage.paths import LineagePath
from services.aggregator.domain.lineage.reach import Bounds, Truncation
from services.aggregator.domain.lineage.together import (
    MovedTogether,
    moved_together,
    of_one_story,
)
from services.aggregator.domain.lineage.view import GraphView, numbers_of
from services.aggregator.domain.shift import FeatureShift
from services.aggregator.find import Find
from services.aggregator.follow_lineage import FollowLineage
from services.aggregator.follow_models import FollowModels, relative
from services.aggregator.lineage_ports import EventQuery, Timeline

_ALL_FEATURES = 20_000
_SUSPICIOUS = 1.3
"""Score of one clean feature in twenty: a member that shifted as much shifted with its group."""
_MOST_EVENTS = 5_000
_EVENTS_TOLD = 5
_SILENT_TOLD = 10


@dataclass(frozen=True)
class CommonCause:
    """A node upstream of several that shifted together."""

    node: NodeId
    probability: float
    covered: Sequence[NodeId]
    silent_count: int
    silent: Sequence[NodeId]
    """Some of them, the most telling first."""
    depth: int
    events: Sequence[TimelineEvent]
    """The latest first."""
    paths: Sequence[LineagePath]
    """One to each covered node but itself."""


@dataclass(frozen=True)
class SuspectGroup:
    """A node whose features shifted together."""

    node: NodeId
    p: float
    """That chance speaks as strongly for all of them."""
    features: Sequence[NodeId]
    overlooked: Sequence[NodeId]
    """Those of them that did not shift beyond their noise alone."""


@dataclass(frozen=True)
class CommonCauses:
    """The most likely first."""

    causes: Sequence[CommonCause]
    coincidence: float
    """Probability that the shifted nodes have no cause in common."""
    shifted: Sequence[NodeId]
    truncation: Truncation
    groups: Sequence[SuspectGroup] = ()
    """Of a window: the rarest first."""


@dataclass(frozen=True)
class _Shifted:
    """What shifted, and what was seen at the time."""

    moved: MovedTogether
    time: datetime
    sightings: Sequence[Sighting]


@dataclass(frozen=True)
class FindCommonCauses:
    """Weighs every node upstream by what shifted, what did not, and what happened before."""

    lineage: FollowLineage
    models: FollowModels
    timeline: Timeline
    find: Find
    compare: Compare
    selection: ControlSelection
    """Of the control that an anomalous window is held against."""
    recent: timedelta
    """Windows that start so long before the shift, or later, tell what is silent."""
    clock: Callable[[], datetime]

    async def of_nodes(
        self,
        nodes: Sequence[NodeId],
        time: datetime | None,
        lookback: timedelta,
        bounds: Bounds,
        limit: int,
    ) -> CommonCauses:
        """Return what best explains that these nodes shifted by that time (None: by now).

        Raises:
            NodeNotFound: nobody told of a node.
        """
        at = time or self.clock()
        moved = MovedTogether(own=nodes, others=())
        shifted = _Shifted(moved, at, self.models.sightings(at - self.recent, at))
        return await self._explain(shifted, lookback, bounds, limit)

    async def of_window(
        self,
        window_name: str,
        lookback: timedelta,
        bounds: Bounds,
        limit: int,
        *,
        with_others: bool = False,
    ) -> CommonCauses:
        """Return what best explains the features of a window that shifted, alone or in a group.

        `with_others`: and what shifted in other models' windows of about that time.

        Raises:
            InvalidQuestion: no feature of it shifted beyond its noise, nor did any group.
            NoControl, WindowNotFound, CheckpointMismatch, CorruptValue: see Compare and Find.
        """
        window = await self.find(window_name)
        comparison = await self.compare(window, self.selection, _ALL_FEATURES)
        groups = await self.lineage(
            lambda graph: _groups(graph.at(window.place.end), comparison.shifts)
        )
        grouped = {feature for group in groups for feature in group.features}
        moved = [
            shift
            for shift in comparison.shifts
            if shift.significant
            or (shift.score >= _SUSPICIOUS and feature_node(shift.feature.name) in grouped)
        ]
        if not moved:
            raise InvalidQuestion(
                f"no feature of {window_name} shifted beyond its noise: name the nodes that did",
                field="window",
            )
        own = Sighting(
            model=window.model,
            start=window.place.start,
            end=window.place.end,
            shift=0.0,
            has_moved=window.is_anomalous,
            features=tuple(shift.feature.name for shift in comparison.shifts),
            moves=[FeatureMove(shift.feature.name, relative(shift)) for shift in moved],
        )
        if not with_others:
            return replace(await self.of_sighting(own, lookback, bounds, limit), groups=groups)
        around = self.models.sightings(own.start - self.recent, own.start + self.recent)
        shifted = _Shifted(moved_together(own, around), own.end, [own, *around])
        return replace(await self._explain(shifted, lookback, bounds, limit), groups=groups)

    async def of_sighting(
        self, sighting: Sighting, lookback: timedelta, bounds: Bounds, limit: int
    ) -> CommonCauses:
        """Return what best explains the features that moved in a window."""
        others = self.models.sightings(sighting.start, sighting.end)
        nodes = [feature_node(move.feature) for move in sighting.moves]
        moved = MovedTogether(own=nodes, others=())
        shifted = _Shifted(moved, sighting.end, [sighting, *others])
        return await self._explain(shifted, lookback, bounds, limit)

    async def _explain(
        self, shifted: _Shifted, lookback: timedelta, bounds: Bounds, limit: int
    ) -> CommonCauses:
        events = await self._events(shifted.time, lookback)

        def answer(graph: LineageGraph) -> CommonCauses:
            view = graph.at(shifted.time)
            nodes = of_one_story(view, shifted.moved, bounds)
            numbers = numbers_of(view, nodes, "nodes.nodes")
            seen = Observations.of(shifted.sightings, graph.nodes)
            found = find_causes(view, numbers, seen, _kinds(graph, events), bounds)
            causes = [
                _told(graph, hypothesis, probability, events)
                for hypothesis, probability in found.ranked[:limit]
            ]
            is_cut = found.truncation.size or len(found.ranked) > limit
            truncation = replace(found.truncation, size=is_cut)
            return CommonCauses(causes, found.coincidence, nodes, truncation)

        return await self.lineage(answer)

    async def _events(
        self, time: datetime, lookback: timedelta
    ) -> Mapping[NodeId, Sequence[TimelineEvent]]:
        """Return what happened in the time before, by node, the latest first."""
        query = EventQuery(nodes=None, start=time - lookback, end=time)
        by_node: dict[NodeId, list[TimelineEvent]] = {}
        for event in await self.timeline.events(query, _MOST_EVENTS):
            by_node.setdefault(event.node, []).append(event)
        return by_node


def _groups(view: GraphView, shifts: Sequence[FeatureShift]) -> Sequence[SuspectGroup]:
    """Test what each node feeds jointly."""
    nodes = [feature_node(shift.feature.name) for shift in shifts]
    known = [place for place, node in enumerate(nodes) if view.nodes.find(node) is not None]
    numbers = np.array([view.number(nodes[place]) for place in known], np.intp)
    p = 10.0 ** -np.array([shifts[place].score for place in known])
    return [
        SuspectGroup(
            node=view.nodes.id(finding.group.node),
            p=finding.p,
            features=[nodes[known[member]] for member in finding.group.members],
            overlooked=[
                nodes[known[member]]
                for member in finding.group.members
                if not shifts[known[member]].significant
            ],
        )
        for finding in find_groups(p, groups_of(view, numbers))
    ]


def _kinds(
    graph: LineageGraph, events: Mapping[NodeId, Sequence[TimelineEvent]]
) -> Mapping[int, Collection[EventKind]]:
    return {
        number: {event.kind for event in of_node}
        for node, of_node in events.items()
        if (number := graph.nodes.find(node)) is not None
    }


def _told(
    graph: LineageGraph,
    hypothesis: Hypothesis,
    probability: float,
    events: Mapping[NodeId, Sequence[TimelineEvent]],
) -> CommonCause:
    ids, below = graph.nodes.ids, hypothesis.below
    node = graph.nodes.id(hypothesis.node)
    covered = np.flatnonzero(np.isin(below.nodes, hypothesis.covered))
    return CommonCause(
        node=node,
        probability=probability,
        covered=ids(hypothesis.covered),
        silent_count=len(hypothesis.silent),
        silent=ids(hypothesis.silent[:_SILENT_TOLD]),
        depth=hypothesis.depth,
        events=events.get(node, ())[:_EVENTS_TOLD],
        paths=[
            LineagePath(ids(below.path(position)), float(below.strengths[position]))
            for position in covered.tolist()
            if position
        ],
    )
