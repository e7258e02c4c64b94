"""OpenLineage's events as facts of the graph.

A job's inputs lead into it and it leads into its outputs; a dataset leads into its columns; column
lineage leads from column to column, and from a column to a whole dataset that it filters or joins.
A job restates its inputs when a run of it completes, or when it is told of without a run; an output
column its own inputs whenever column lineage is told. Other names of the same data are linked both
ways, an earlier name to the later one.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from services.aggregator.adapters.kept_facets import kept
from services.aggregator.adapters.openlineage_facets import Change, ColumnLineageFacet, InputField
from services.aggregator.adapters.openlineage_messages import (
    Dataset,
    DatasetEvent,
    Event,
    JobEvent,
    RunEvent,
    RunState,
    read_event,
)
from services.aggregator.adapters.openlineage_names import column_node, dataset_node, job_node
from services.aggregator.domain.lineage.errors import InvalidNode
from services.aggregator.domain.lineage.facts import (
    Edge,
    EventKind,
    LineageFacts,
    Node,
    TimelineEvent,
    Transform,
    TransformKind,
)
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind
from services.aggregator.domain.lineage.schema import Observation, Schema
from services.chassis.errors import InvalidRequest

_LONGEST_PROVENANCE = 256
_LONGEST_SUMMARY = 1024
_IDENTITY = Transform(operation="IDENTITY")
_CONTAINS = Transform(operation="COLUMN")
_CHANGES = {
    Change.ALTER: "altered",
    Change.CREATE: "created",
    Change.DROP: "dropped",
    Change.RENAME: "renamed",
    Change.TRUNCATE: "truncated",
}
"""Of a dataset that are told of. OVERWRITE is what many pipelines do with every run."""
_RUN_EVENTS: Mapping[RunState, tuple[EventKind, str]] = {
    RunState.START: (EventKind.PIPELINE_RUN, "run started"),
    RunState.COMPLETE: (EventKind.PIPELINE_RUN, "run completed"),
    RunState.FAIL: (EventKind.FAILED_RUN, "run failed"),
    RunState.ABORT: (EventKind.FAILED_RUN, "run was aborted"),
}


def observation_of(content: object, path: str = "") -> Observation:
    """Return what an event tells.

    Args:
        content: the event as JSON has it.
        path: where it stands in the request, for what is said of it.

    Raises:
        InvalidRequest: with the path of each field that is at fault or cannot be kept.
    """
    try:
        told = _Told(read_event(content, path), path)
        return told.everything(_hash(json.dumps(content, sort_keys=True)))
    except RecursionError as error:
        raise InvalidRequest([(path, "is nested too deeply")]) from error


@dataclass
class _Told:
    """What has been read of an event so far."""

    event: Event
    path: str
    nodes: dict[NodeId, Node] = field(default_factory=dict)
    edges: dict[tuple[NodeId, NodeId], Edge] = field(default_factory=dict)
    schemas: dict[NodeId, Schema] = field(default_factory=dict)
    events: list[TimelineEvent] = field(default_factory=list)
    ended: list[NodeId] = field(default_factory=list)
    restated: list[NodeId] = field(default_factory=list)

    def everything(self, digest: str) -> Observation:
        """Read the whole event; `digest` is that of its content."""
        match self.event:
            case RunEvent():
                self.run(self.event)
            case JobEvent():
                self.job(self.event, restate=True)
            case DatasetEvent():
                self.dataset(self.event.dataset, "dataset")
        return self._observation(digest)

    def run(self, event: RunEvent) -> None:
        """Read a run event."""
        # A run that has completed has told of all its inputs; one that tells of none tells nothing.
        completed = event.event_type is RunState.COMPLETE and bool(event.inputs)
        job = self.job(event, restate=completed)
        if event.event_type not in _RUN_EVENTS:
            return
        kind, summary = _RUN_EVENTS[event.event_type]
        error = event.run.facets.error
        self.events.append(
            TimelineEvent(
                event_id=f"run:{event.run.run_id}:{event.event_type}",
                node=job,
                kind=kind,
                time=event.event_time,
                summary=f"{summary}: {error.message}"[:_LONGEST_SUMMARY] if error else summary,
                actor=event.producer[:_LONGEST_PROVENANCE],
                details=kept({"runId": str(event.run.run_id), **_extra(event.run.facets)}),
            )
        )

    def job(self, event: RunEvent | JobEvent, *, restate: bool) -> NodeId:
        """Read what a job reads and writes."""
        source = event.job
        job = self._named("job", lambda: job_node(source.namespace, source.name))
        self.nodes[job] = Node(
            job,
            description=source.facets.description,
            owner=source.facets.owner,
            facets=kept(_extra(source.facets)),
        )
        if restate:
            self.restated.append(job)
        for number, dataset in enumerate(event.inputs):
            self._edge(self.dataset(dataset, f"inputs[{number}]"), job)
        for number, dataset in enumerate(event.outputs):
            self._edge(job, self.dataset(dataset, f"outputs[{number}]"))
        return job

    def dataset(self, dataset: Dataset, path: str) -> NodeId:
        """Read a dataset, and what happened to it."""
        node = self._named(path, lambda: dataset_node(dataset.namespace, dataset.name))
        facets = dataset.facets
        version = ""
        if facets.schema_ and node.kind is NodeKind.DATASET:
            schema = self.schemas[node] = Schema(facets.schema_.columns())
            version = schema.version
            place = f"{path}.facets.schema.fields"
            for column in schema.columns:
                self._edge(node, self._column(place, dataset, column), _CONTAINS)
        self.nodes[node] = Node(
            node,
            description=facets.description,
            owner=facets.owner,
            schema_version=version,
            facets=kept(_extra(facets) | dataset.input_facets | dataset.output_facets),
        )
        if facets.column_lineage:
            self._column_lineage(facets.column_lineage, dataset, node, path)
        self._other_names(dataset, node, path)
        self._lifecycle(dataset, node, path)
        return node

    def _observation(self, digest: str) -> Observation:
        facts = LineageFacts(
            key=_key(self.event, digest[:32]),
            provenance=_provenance(self.event),
            time=self.event.event_time,
            nodes=tuple(self.nodes.values()),
            edges=tuple(self.edges.values()),
            ended_nodes=tuple(dict.fromkeys(self.ended)),
            restated_nodes=tuple(dict.fromkeys(self.restated)),
            events=tuple(self.events),
        )
        return Observation(facts, self.schemas)

    def _column_lineage(
        self, facet: ColumnLineageFacet, dataset: Dataset, node: NodeId, path: str
    ) -> None:
        path = f"{path}.facets.columnLineage"
        for name, inputs in facet.fields.items():
            column = self._column(f"{path}.fields.{name}", dataset, name)
            if column.kind is NodeKind.COLUMN:
                self.restated.append(column)
            usual = Transform(operation=inputs.transformation_type[:64])
            sources = enumerate(inputs.input_fields)
            for number, source in sources:
                place = f"{path}.fields.{name}.inputFields[{number}]"
                self._edge(self._input(place, source), column, _transform(source, usual))
            if column.kind is NodeKind.COLUMN:
                self._edge(node, column, _CONTAINS)
        for number, source in enumerate(facet.dataset):
            usual = Transform(TransformKind.INDIRECT)
            origin = self._input(f"{path}.dataset[{number}]", source)
            self._edge(origin, node, _transform(source, usual))

    def _other_names(self, dataset: Dataset, node: NodeId, path: str) -> None:
        symlinks = dataset.facets.symlinks
        for number, other in enumerate(symlinks.identifiers if symlinks else ()):
            place = f"{path}.facets.symlinks.identifiers[{number}]"
            alias = self._named(place, partial(dataset_node, other.namespace, other.name))
            self._edge(node, alias, _IDENTITY)
            self._edge(alias, node, _IDENTITY)

    def _lifecycle(self, dataset: Dataset, node: NodeId, path: str) -> None:
        facet = dataset.facets.lifecycle
        if facet is None or facet.change not in _CHANGES or self._is_undone():
            return
        self._happened(node, facet.change, _CHANGES[facet.change])
        if facet.change is Change.DROP:
            self.ended.append(node)
        elif facet.change is Change.RENAME and facet.previous:
            former = facet.previous
            place = f"{path}.facets.lifecycleStateChange.previousIdentifier"
            before = self._named(place, lambda: dataset_node(former.namespace, former.name))
            self._edge(before, node, _IDENTITY)
            self._happened(before, facet.change, f"renamed to {node}")

    def _is_undone(self) -> bool:
        """Whether what the event says was done is only begun, or has failed."""
        undone = (RunState.START, RunState.FAIL, RunState.ABORT)
        return isinstance(self.event, RunEvent) and self.event.event_type in undone

    def _happened(self, node: NodeId, change: Change, summary: str) -> None:
        event = self.event
        occasion = str(event.run.run_id if isinstance(event, RunEvent) else event.event_time)
        self.events.append(
            TimelineEvent(
                event_id=f"lifecycle:{_hash(f'{node} {change} {occasion}')[:32]}",
                node=node,
                kind=EventKind.LIFECYCLE_CHANGE,
                time=event.event_time,
                summary=summary[:_LONGEST_SUMMARY],
                actor=_provenance(event),
            )
        )

    def _edge(self, source: NodeId, target: NodeId, transform: Transform | None = None) -> None:
        if source != target:
            self.edges[source, target] = Edge(source, target, transform or Transform())

    def _input(self, path: str, source: InputField) -> NodeId:
        return self._named(path, lambda: column_node(source.namespace, source.name, source.field))

    def _column(self, path: str, dataset: Dataset, column: str) -> NodeId:
        make = partial(column_node, dataset.namespace, dataset.name, column)
        return self._named(path, make, at_part=False)

    def _named(self, path: str, make: Callable[[], NodeId], *, at_part: bool = True) -> NodeId:
        """Return a node; `at_part`: the parts of its id are fields of what stands at `path`."""
        try:
            return make()
        except InvalidNode as error:
            part = error.field if at_part else None
            place = ".".join(step for step in (self.path, path, part) if step)
            raise InvalidRequest([(place, str(error))]) from error


def _extra(message: Any) -> dict[str, Any]:
    return dict(message.model_extra or {})


def _transform(source: InputField, usual: Transform) -> Transform:
    """Return how a column acts: directly if it does so in any way."""
    direct = [step for step in source.transformations if step.type != "INDIRECT"]
    steps = direct or source.transformations
    if not steps:
        return usual
    kind = TransformKind.DIRECT if direct else TransformKind.INDIRECT
    return Transform(kind, steps[0].subtype[:64], steps[0].description[:2048])


def _provenance(event: Event) -> str:
    """Return who tells: each job by itself, so that one may restate what it told alone."""
    about = event.dataset if isinstance(event, DatasetEvent) else event.job
    kind = "dataset" if isinstance(event, DatasetEvent) else "job"
    name = f"openlineage {kind} {about.namespace}:{about.name}"
    if len(name) <= _LONGEST_PROVENANCE:
        return name
    return f"{name[: _LONGEST_PROVENANCE - 17]} {_hash(name)[:16]}"


def _key(event: Event, digest: str) -> str:
    """Return run, state and a hash of time and all else; without a run, the hash alone."""
    if isinstance(event, RunEvent):
        return f"openlineage:{event.run.run_id}:{event.event_type}:{digest}"
    return f"openlineage:{digest}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
