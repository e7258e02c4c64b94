"""The graph as Marquez' read API shows it, for tools that ask for that.

It knows datasets and jobs, and, where columns are asked for, columns. Features and outputs stand
for datasets and models for jobs of the namespace `aftershock`; columns lie within their datasets.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from services.aggregator.adapters.openlineage_names import (
    NAMESPACE,
    column_node,
    dataset_node,
    job_node,
)
from services.aggregator.domain.lineage.errors import InvalidNode
from services.aggregator.domain.lineage.facts import Node
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind
from services.aggregator.domain.lineage.schema import DatedSchema
from services.aggregator.look_around import ShownEdge, Surroundings

Schemas = Mapping[NodeId, DatedSchema]
_JOBS = frozenset({NodeKind.JOB, NodeKind.MODEL})
_FORMS = "dataset:NAMESPACE:NAME, job:NAMESPACE:NAME or datasetField:NAMESPACE:DATASET:FIELD"


def nodes_meant(text: str) -> list[NodeId]:
    """Return the nodes that a Marquez id may mean, the likeliest first.

    Namespaces hold colons, and so may names: nothing but the graph tells where one ends.

    Raises:
        InvalidNode: it can mean none.
    """
    kind, _, rest = text.partition(":")
    parts = rest.split(":")
    found: list[NodeId] = []
    # A name without a colon is the likeliest, so the namespace is as long as can be.
    for cut in range(len(parts) - 1, 0, -1):
        head, tail = ":".join(parts[:cut]), ":".join(parts[cut:])
        try:
            match kind:
                case "dataset":
                    found.append(dataset_node(head, tail))
                case "job":
                    found.append(job_node(head, tail))
                case "datasetField":
                    namespace, _, name = head.rpartition(":")
                    found.append(column_node(namespace, name, tail))
        except InvalidNode:
            continue
    if not found:
        raise InvalidNode(f"{text!r} is no id of a node: write {_FORMS}", field="nodeId")
    return found


def marquez_id(node: NodeId) -> str:
    """Return the id of a node; a column's is its own."""
    if node.kind is NodeKind.COLUMN:
        return f"datasetField:{node.namespace}:{node.name}:{node.field}"
    namespace, name = _names(node)
    return f"{'job' if node.kind in _JOBS else 'dataset'}:{namespace}:{name}"


def lineage_graph(around: Surroundings, schemas: Schemas) -> dict[str, Any]:
    """Return jobs and datasets, with the edges between them on both of their ends."""
    nodes: dict[NodeId, Node] = {}
    for node, _ in around.nodes:
        whole = _whole(node.id)
        if whole == node.id:
            nodes[whole] = node
        else:
            nodes.setdefault(whole, Node(whole))
    times: defaultdict[NodeId, list[str]] = defaultdict(list)
    pairs: dict[tuple[NodeId, NodeId], None] = {}
    for edge in around.edges:
        source, target = _whole(edge.source), _whole(edge.target)
        for end in (source, target):
            times[end].append(edge.valid_from.isoformat())
        # What leads from column to column goes by the job between their datasets.
        between_columns = edge.source.kind is edge.target.kind is NodeKind.COLUMN
        if source != target and not between_columns:
            pairs[source, target] = None
    graph = [
        _graph_node(node, [*pairs], times.get(node.id, []), schemas) for node in nodes.values()
    ]
    return {"graph": sorted(graph, key=lambda node: str(node["id"]))}


def column_graph(surroundings: Iterable[Surroundings], schemas: Schemas) -> dict[str, Any]:
    """Return columns, each with those that it is made of."""
    edges = {
        (edge.source, edge.target): edge
        for around in surroundings
        for edge in around.edges
        if edge.source.kind is edge.target.kind is NodeKind.COLUMN
    }
    inputs: defaultdict[NodeId, list[ShownEdge]] = defaultdict(list)
    outputs: defaultdict[NodeId, list[ShownEdge]] = defaultdict(list)
    for edge in edges.values():
        inputs[edge.target].append(edge)
        outputs[edge.source].append(edge)
    columns = sorted({end for pair in edges for end in pair}, key=marquez_id)
    graph = [
        {
            "id": marquez_id(column),
            "type": "DATASET_FIELD",
            "data": _column_data(column, inputs[column], schemas),
            # Marquez has the column itself at the origin of either.
            "inEdges": [_edge(column, edge.source) for edge in inputs[column]],
            "outEdges": [_edge(column, edge.target) for edge in outputs[column]],
        }
        for column in columns
    ]
    return {"graph": graph}


def _graph_node(
    node: Node, pairs: Sequence[tuple[NodeId, NodeId]], times: Sequence[str], schemas: Schemas
) -> dict[str, Any]:
    sources = [source for source, target in pairs if target == node.id]
    targets = [target for source, target in pairs if source == node.id]
    is_job = node.id.kind in _JOBS
    data = _data(node, times)
    data |= _job_data(sources, targets) if is_job else _dataset_data(node.id, schemas)
    return {
        "id": marquez_id(node.id),
        "type": "JOB" if is_job else "DATASET",
        "data": data,
        "inEdges": [_edge(source, node.id) for source in sources],
        "outEdges": [_edge(node.id, target) for target in targets],
    }


def _data(node: Node, times: Sequence[str]) -> dict[str, Any]:
    namespace, name = _names(node.id)
    data = {"id": {"namespace": namespace, "name": name}, "namespace": namespace, "name": name}
    # Nothing is null there: what is not known is left out.
    if node.description:
        data["description"] = node.description
    return data | ({"createdAt": min(times), "updatedAt": max(times)} if times else {})


def _job_data(sources: Sequence[NodeId], targets: Sequence[NodeId]) -> dict[str, Any]:
    return {
        "type": "BATCH",
        "inputs": [*map(_identity, sources)],
        "outputs": [*map(_identity, targets)],
    }


def _dataset_data(node: NodeId, schemas: Schemas) -> dict[str, Any]:
    namespace, name = _names(node)
    known = schemas.get(node)
    columns = known.schema.columns if known else {}
    return {
        "type": "DB_TABLE",
        "physicalName": name,
        "sourceName": namespace,
        "fields": [{"name": column, "type": of, "tags": []} for column, of in columns.items()],
        "tags": [],
    }


def _column_data(
    column: NodeId, inputs: Sequence[ShownEdge], schemas: Schemas
) -> dict[str, Any] | None:
    if not inputs:
        return None
    known = schemas.get(_whole(column))
    return {
        **_field(column),
        "fieldType": known.schema.columns.get(column.field) if known else None,
        "inputFields": [{**_field(edge.source), **_transformation(edge)} for edge in inputs],
    }


def _field(column: NodeId) -> dict[str, str]:
    return {"namespace": column.namespace, "dataset": column.name, "field": column.field}


def _transformation(edge: ShownEdge) -> dict[str, str]:
    return {
        "transformationType": edge.transform.operation or edge.transform.kind.value,
        "transformationDescription": edge.transform.description,
    }


def _edge(origin: NodeId, destination: NodeId) -> dict[str, str]:
    return {"origin": marquez_id(origin), "destination": marquez_id(destination)}


def _identity(node: NodeId) -> dict[str, str]:
    namespace, name = _names(node)
    return {"namespace": namespace, "name": name}


def _whole(node: NodeId) -> NodeId:
    """Return the dataset of a column, and any other node as it is."""
    if node.kind is NodeKind.COLUMN:
        return NodeId(NodeKind.DATASET, node.namespace, node.name)
    return node


def _names(node: NodeId) -> tuple[str, str]:
    match node.kind:
        case NodeKind.FEATURE | NodeKind.MODEL:
            return NAMESPACE, f"{node.kind.value}/{node.name}"
        case NodeKind.OUTPUT:
            return NAMESPACE, f"{node.kind.value}/{node.name}/{node.field}"
        case _:
            return node.namespace, node.name


def datasets_of(surroundings: Iterable[Surroundings]) -> Iterator[NodeId]:
    """Yield every dataset that is shown, itself or by a column."""
    for around in surroundings:
        for node, _ in around.nodes:
            whole = _whole(node.id)
            if whole.kind is NodeKind.DATASET:
                yield whole
