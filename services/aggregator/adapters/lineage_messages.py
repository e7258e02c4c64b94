"""Facts about lineage between the contract and the domain."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import lineage_pb2 as lineage
from aftershock.v1 import lineage_service_pb2 as pb
from services.aggregator.adapters.incoming_times import moment_of
from services.aggregator.adapters.timeline_messages import event_message, event_of
from services.aggregator.domain.lineage.facts import (
    Edge,
    EndedEdge,
    LineageFacts,
    Node,
    Transform,
    TransformKind,
)
from services.aggregator.domain.lineage.nodes import (
    NodeId,
    feature_node,
    model_node,
    output_node,
    parse_node,
)

_IDENTITY = Transform(operation="IDENTITY")
_FEATURES = "registered features"


def facts_of(request: pb.RegisterLineageRequest, now: datetime) -> LineageFacts:
    """Return the facts of a bulk registration.

    Raises:
        InvalidNode: a node's id is not one.
        InvalidFacts: an edge cannot be.
        InvalidRequest: a time is none.
    """
    return LineageFacts(
        key=request.request_id,
        provenance=request.provenance,
        time=moment_of(request.time, "time") if request.HasField("time") else now,
        nodes=[node_of(node, f"nodes[{n}]") for n, node in enumerate(request.nodes)],
        edges=[_edge_of(edge, f"edges[{n}]") for n, edge in enumerate(request.edges)],
        ended_edges=[
            EndedEdge(
                parse_node(edge.source, f"ended_edges[{n}].source"),
                parse_node(edge.target, f"ended_edges[{n}].target"),
            )
            for n, edge in enumerate(request.ended_edges)
        ],
        ended_nodes=_nodes_of(request.ended_nodes, "ended_nodes"),
        restated_nodes=_nodes_of(request.restated_nodes, "restated_nodes"),
        is_complete=request.complete,
        events=[event_of(event, f"events[{n}]") for n, event in enumerate(request.events)],
    )


def facts_message(facts: LineageFacts) -> pb.RegisterLineageRequest:
    """Return facts as the bulk registration that tells of them."""
    return pb.RegisterLineageRequest(
        request_id=facts.key,
        provenance=facts.provenance,
        time=stamp(facts.time),
        nodes=[node_message(node) for node in facts.nodes],
        edges=[_edge_message(edge) for edge in facts.edges],
        ended_edges=[
            pb.EndedEdge(source=str(edge.source), target=str(edge.target))
            for edge in facts.ended_edges
        ],
        ended_nodes=map(str, facts.ended_nodes),
        restated_nodes=map(str, facts.restated_nodes),
        complete=facts.is_complete,
        events=map(event_message, facts.events),
    )


def feature_facts(request: pb.RegisterFeaturesRequest, now: datetime) -> LineageFacts:
    """Return what a registration of features tells.

    Raises:
        InvalidNode: a source's id is not one.
        InvalidRequest: the time is none.
    """
    nodes, edges = [], []
    for n, told in enumerate(request.features):
        feature = feature_node(told.feature)
        nodes.append(Node(feature, told.description, told.owner))
        for m, source in enumerate(told.sources):
            source_node = parse_node(source, f"features[{n}].sources[{m}]")
            edges.append(Edge(source_node, feature, _transform_of(told.transform)))
    return LineageFacts(
        key=f"features:{request.request_id}",
        provenance=_FEATURES,
        time=moment_of(request.valid_from, "valid_from") if request.HasField("valid_from") else now,
        nodes=nodes,
        edges=edges,
        restated_nodes=[node.id for node in nodes],
    )


def model_facts(request: pb.RegisterModelRequest, now: datetime) -> LineageFacts:
    """Return what a registration of a model tells.

    Raises:
        InvalidNode: an output's name cannot be one.
        InvalidRequest: the time is none.
    """
    name = request.model.removeprefix("models/")
    model = model_node(name)
    edges = [Edge(feature_node(feature), model) for feature in request.features]
    for feed in request.feeds:
        output = output_node(name, feed.output)
        edges.append(Edge(model, output, _IDENTITY))
        transform = _transform_of(feed.transform) if feed.HasField("transform") else _IDENTITY
        strength = feed.strength if feed.HasField("strength") else None
        edges.append(Edge(output, feature_node(feed.feature), transform, strength))
    return LineageFacts(
        key=f"model:{request.request_id}",
        provenance=f"registered {model}",
        time=moment_of(request.valid_from, "valid_from") if request.HasField("valid_from") else now,
        nodes=[Node(model, request.description, request.owner)],
        edges=edges,
        is_complete=True,
    )


def node_message(node: Node) -> lineage.LineageNode:
    """Return the message of a node."""
    return lineage.LineageNode(
        node=str(node.id),
        description=node.description,
        owner=node.owner,
        schema_version=node.schema_version,
        facets_json=node.facets,
    )


def transform_message(transform: Transform) -> lineage.Transform:
    """Return the message of a transform."""
    return lineage.Transform(
        kind=lineage.TransformKind.Value(f"TRANSFORM_KIND_{transform.kind.name}"),
        operation=transform.operation,
        description=transform.description,
    )


def stamp(time: datetime) -> Timestamp:
    """Return the message of a time."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def node_of(message: lineage.LineageNode, path: str = "node") -> Node:
    """Return the node of a message that stands at `path` in the request."""
    return Node(
        parse_node(message.node, f"{path}.node"),
        message.description,
        message.owner,
        message.schema_version,
        message.facets_json,
    )


def _nodes_of(texts: Iterable[str], path: str) -> list[NodeId]:
    return [parse_node(text, f"{path}[{n}]") for n, text in enumerate(texts)]


def _edge_of(message: lineage.LineageEdge, path: str) -> Edge:
    return Edge(
        source=parse_node(message.source, f"{path}.source"),
        target=parse_node(message.target, f"{path}.target"),
        transform=_transform_of(message.transform),
        strength=message.strength if message.HasField("strength") else None,
        valid_from=moment_of(message.valid_from, f"{path}.valid_from")
        if message.HasField("valid_from")
        else None,
        valid_until=moment_of(message.valid_until, f"{path}.valid_until")
        if message.HasField("valid_until")
        else None,
    )


def _edge_message(edge: Edge) -> lineage.LineageEdge:
    return lineage.LineageEdge(
        source=str(edge.source),
        target=str(edge.target),
        transform=transform_message(edge.transform),
        strength=edge.strength,
        valid_from=stamp(edge.valid_from) if edge.valid_from else None,
        valid_until=stamp(edge.valid_until) if edge.valid_until else None,
    )


def _transform_of(message: lineage.Transform) -> Transform:
    return _transform(message.kind, message.operation, message.description)


@lru_cache(maxsize=1024)
def _transform(kind: int, operation: str, description: str) -> Transform:
    is_indirect = kind == lineage.TransformKind.TRANSFORM_KIND_INDIRECT
    named = TransformKind.INDIRECT if is_indirect else TransformKind.DIRECT
    return Transform(named, operation, description)
