"""Answers about lineage as tables."""

from collections.abc import Iterable

from rich.table import Table

from aftershock.cli import _words as words
from aftershock.cli._output import table_of
from aftershock.v1.lineage_pb2 import (
    Feeling,
    LineagePath,
    MoveOrder,
    PropagationRole,
    StrengthBasis,
    Truncation,
)
from aftershock.v1.lineage_service_pb2 import (
    FindCommonCausesResponse,
    GetBlastRadiusResponse,
    GetLineageResponse,
    TracePropagationResponse,
)

_FEW = 5


def surroundings_table(found: GetLineageResponse) -> Table:
    """The edges around a node, the nearest first."""
    table = table_of("#from it", "=source", "=target", "transform", "#strength", "", "told by")
    distances = {around.node.node: around.distance for around in found.nodes}
    edges = sorted(
        found.edges,
        key=lambda edge: (
            max(abs(distances[edge.source]), abs(distances[edge.target])),
            edge.source,
            edge.target,
        ),
    )
    for edge in edges:
        table.add_row(
            str(distances[edge.target]),
            edge.source,
            edge.target,
            edge.transform.operation or words.NOTHING,
            words.number(edge.strength),
            _plain(StrengthBasis.Name(edge.strength_basis), "STRENGTH_BASIS_"),
            edge.provenance,
        )
    return table


def propagation_table(told: TracePropagationResponse) -> Table:
    """Roots, then what the shift came to, then what has not shifted."""
    table = table_of(
        "=node", "role", "#edges", "#expected", "felt", "#observed", "since (UTC)", "moved", "=how"
    )
    for node in told.nodes:
        table.add_row(
            node.node,
            _plain(PropagationRole.Name(node.role), "PROPAGATION_ROLE_"),
            str(node.depth),
            words.number(node.expected_shift) if node.depth >= 0 else words.NOTHING,
            _plain(Feeling.Name(node.feeling), "FEELING_"),
            words.number(node.observed_shift) if node.HasField("observed_shift") else words.NOTHING,
            words.moment(node.move_time) if node.HasField("move_time") else words.NOTHING,
            _plain(MoveOrder.Name(node.move_order), "MOVE_ORDER_") if node.move_order else "",
            _way(node.paths[0]) if node.paths else "",
        )
    return table


def causes_table(found: FindCommonCausesResponse) -> Table:
    """What the shifted nodes have in common."""
    table = table_of("=node", "#probability", "#covers", "#silent", "#edges", "what happened to it")
    for cause in found.causes:
        table.add_row(
            cause.node,
            words.percent(cause.probability),
            f"{len(cause.covered)} of {len(found.shifted)}",
            str(cause.silent_count),
            str(cause.depth),
            "; ".join(
                f"{words.moment(event.time)} {words.event_kind(event.kind)}: {event.summary}"
                for event in cause.events[:2]
            )
            or words.NOTHING,
        )
    return table


def group_lines(found: FindCommonCausesResponse) -> list[str]:
    """Pipelines whose features shifted together, and which of them nobody would have noticed."""
    return [
        f"{group.node}: its {len(group.features)} features shifted together "
        f"(p {words.number(group.probability)}), alone unsuspicious: "
        + (_some(name.removeprefix("feature:") for name in group.overlooked) or "none")
        for group in found.groups
    ]


def blast_radius_table(found: GetBlastRadiusResponse) -> Table:
    """The models that would notice."""
    table = table_of("=model", "#calibration change at most", "through", "=how")
    for affected in found.models:
        table.add_row(
            affected.model.removeprefix("models/"),
            words.number(affected.expected_calibration_change),
            _some(name.removeprefix("feature:") for name in affected.features),
            _way(affected.path),
        )
    return table


def cuts(truncation: Truncation) -> list[str]:
    """What was left out, if anything."""
    said = []
    if truncation.depth:
        said.append("More lies beyond: raise --depth.")
    if truncation.fan_out:
        said.append("Some nodes have more neighbours than were followed: the strongest were.")
    if truncation.size:
        said.append("More was found than is shown.")
    return said


def _way(path: LineagePath) -> str:
    return " -> ".join(path.nodes)


def _some(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - _FEW} more" if len(known) > _FEW else ""
    return ", ".join(known[:_FEW]) + more


def _plain(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")
