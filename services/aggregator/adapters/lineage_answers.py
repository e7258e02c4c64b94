"""Answers about lineage as the contract's messages."""

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import lineage_pb2 as lineage
from aftershock.v1 import lineage_service_pb2 as pb
from services.aggregator.adapters.lineage_messages import node_message, stamp, transform_message
from services.aggregator.adapters.timeline_messages import event_message
from services.aggregator.domain.lineage.blast_radius import AffectedModel, BlastRadius
from services.aggregator.domain.lineage.observations import Feeling
from services.aggregator.domain.lineage.paths import LineagePath
from services.aggregator.domain.lineage.propagation import MoveOrder, Propagation, PropagationNode
from services.aggregator.domain.lineage.reach import Truncation
from services.aggregator.domain.lineage.roles import Role
from services.aggregator.domain.lineage.warning import PropagationWarning
from services.aggregator.domain.window import Interval
from services.aggregator.find_common_causes import CommonCause, CommonCauses
from services.aggregator.look_around import ShownEdge, Surroundings

_ROLES = {role: lineage.PropagationRole.Value(f"PROPAGATION_ROLE_{role.name}") for role in Role}
_FEELINGS = {feeling: lineage.Feeling.Value(f"FEELING_{feeling.name}") for feeling in Feeling}
_ORDERS: Mapping[MoveOrder | None, lineage.MoveOrder.ValueType] = {
    None: lineage.MoveOrder.MOVE_ORDER_UNSPECIFIED,
    **{order: lineage.MoveOrder.Value(f"MOVE_ORDER_{order.name}") for order in MoveOrder},
}


def surroundings_message(shown: Surroundings) -> pb.GetLineageResponse:
    """Return the graph around a node."""
    return pb.GetLineageResponse(
        nodes=[
            pb.NodeAround(node=node_message(node), distance=distance)
            for node, distance in shown.nodes
        ],
        edges=map(_edge, shown.edges),
        truncation=_truncation(shown.truncation),
    )


def propagation_message(told: Propagation, stretch: Interval) -> pb.TracePropagationResponse:
    """Return the story of a shift."""
    return pb.TracePropagationResponse(
        origin=str(told.origin),
        origin_shift=told.origin_shift,
        nodes=map(_node, told.nodes),
        truncation=_truncation(told.truncation),
        start_time=stamp(stretch.start),
        end_time=stamp(stretch.end),
    )


def causes_message(found: CommonCauses) -> pb.FindCommonCausesResponse:
    """Return what several nodes have in common."""
    return pb.FindCommonCausesResponse(
        causes=map(_cause, found.causes),
        coincidence_probability=found.coincidence,
        shifted=map(str, found.shifted),
        truncation=_truncation(found.truncation),
        groups=[
            lineage.SuspectGroup(
                node=str(group.node),
                probability=group.p,
                features=map(str, group.features),
                overlooked=map(str, group.overlooked),
            )
            for group in found.groups
        ],
    )


def blast_radius_message(found: BlastRadius) -> pb.GetBlastRadiusResponse:
    """Return what would notice."""
    return pb.GetBlastRadiusResponse(
        models=map(_affected, found.models),
        model_count=found.model_count,
        feature_count=found.feature_count,
        node_count=found.node_count,
        truncation=_truncation(found.truncation),
    )


def warning_message(
    model: str, warning: PropagationWarning, roots: list[str], cursor: str, now: Timestamp
) -> lineage.PropagationWarning:
    """Return what a model's owner is told."""
    return lineage.PropagationWarning(
        cursor=cursor,
        model=f"models/{model}",
        feature=str(warning.feature),
        path=_path(warning.path),
        roots=roots,
        origin_shift=warning.origin_shift,
        expected_shift=warning.expected_shift,
        feeling=_FEELINGS[warning.feeling],
        event_time=stamp(warning.event_time),
        create_time=now,
    )


def _edge(edge: ShownEdge) -> lineage.LineageEdge:
    return lineage.LineageEdge(
        source=str(edge.source),
        target=str(edge.target),
        transform=transform_message(edge.transform),
        strength=edge.strength,
        strength_basis=lineage.StrengthBasis.Value(f"STRENGTH_BASIS_{edge.basis.name}"),
        provenance=edge.provenance,
        valid_from=stamp(edge.valid_from),
        valid_until=stamp(edge.valid_until) if edge.valid_until else None,
    )


def _node(told: PropagationNode) -> lineage.PropagationNode:
    return lineage.PropagationNode(
        node=str(told.node),
        role=_ROLES[told.role],
        depth=told.depth,
        path_strength=told.path_strength,
        expected_shift=told.expected_shift,
        feeling=_FEELINGS[told.feeling],
        observed_shift=told.observed_shift,
        move_time=stamp(told.move_time) if told.move_time else None,
        move_order=_ORDERS[told.move_order],
        paths=map(_path, told.paths),
    )


def _cause(cause: CommonCause) -> lineage.CommonCause:
    return lineage.CommonCause(
        node=str(cause.node),
        probability=cause.probability,
        covered=map(str, cause.covered),
        silent_count=cause.silent_count,
        silent=map(str, cause.silent),
        depth=cause.depth,
        events=map(event_message, cause.events),
        paths=map(_path, cause.paths),
    )


def _affected(affected: AffectedModel) -> lineage.AffectedModel:
    return lineage.AffectedModel(
        model=f"models/{affected.model.name}",
        expected_calibration_change=affected.change,
        features=map(str, affected.features),
        path=_path(affected.path),
    )


def _path(path: LineagePath) -> lineage.LineagePath:
    return lineage.LineagePath(nodes=map(str, path.nodes), strength=path.strength)


def _truncation(truncation: Truncation) -> lineage.Truncation:
    return lineage.Truncation(
        depth=truncation.depth, fan_out=truncation.fan_out, size=truncation.size
    )
