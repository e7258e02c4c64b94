"""OpenLineage's datasets and jobs as nodes of the graph, and the graph's nodes as these.

OpenLineage knows no features and no models. The namespace `aftershock` stands for them: datasets
`feature/NAME` and `output/MODEL/NAME`, jobs `model/NAME`. Whatever is said of a column of such a
dataset is said of the dataset.
"""

from services.aggregator.domain.lineage.errors import InvalidNode
from services.aggregator.domain.lineage.nodes import (
    NodeId,
    NodeKind,
    feature_node,
    model_node,
    output_node,
)

NAMESPACE = "aftershock"


def dataset_node(namespace: str, name: str) -> NodeId:
    """Return the node of a dataset.

    Raises:
        InvalidNode: there is no such node.
    """
    if namespace != NAMESPACE:
        return NodeId(NodeKind.DATASET, namespace, name)
    kind, _, rest = name.partition("/")
    model, _, output = rest.partition("/")
    if kind == NodeKind.FEATURE.value and rest:
        return feature_node(rest)
    if kind == NodeKind.OUTPUT.value and output:
        return output_node(model, output)
    raise InvalidNode(
        f"in the namespace {NAMESPACE} datasets are feature/NAME and output/MODEL/NAME, not {name}",
        field="name",
    )


def job_node(namespace: str, name: str) -> NodeId:
    """Return the node of a job.

    Raises:
        InvalidNode: there is no such node.
    """
    if namespace != NAMESPACE:
        return NodeId(NodeKind.JOB, namespace, name)
    kind, _, rest = name.partition("/")
    if kind == NodeKind.MODEL.value and rest:
        return model_node(rest)
    raise InvalidNode(f"in the namespace {NAMESPACE} jobs are model/NAME, not {name}", field="name")


def column_node(namespace: str, name: str, column: str) -> NodeId:
    """Return the node of a dataset's column.

    Raises:
        InvalidNode: there is no such node.
    """
    dataset = dataset_node(namespace, name)
    if dataset.kind is not NodeKind.DATASET:
        return dataset
    return NodeId(NodeKind.COLUMN, namespace, name, column)
