"""Checkpoints and what they were compiled into, as people read them."""

from collections.abc import Iterable

from rich.table import Table

from aftershock.cli import _words as words
from aftershock.cli._output import table_of
from aftershock.v1.attribution_service_pb2 import (
    AblationRoute,
    ExplainCheckpointResponse,
    PredictedCost,
)
from aftershock.v1.checkpoint_pb2 import Checkpoint


def checkpoints_table(checkpoints: Iterable[Checkpoint]) -> Table:
    """One row a checkpoint."""
    table = table_of("=checkpoint", "trained until (UTC)", "#features", "digest")
    for checkpoint in checkpoints:
        table.add_row(
            checkpoint.name,
            words.moment(checkpoint.trained_until),
            f"{len(checkpoint.features):,}",
            checkpoint.digest[: words.DIGEST_LENGTH],
        )
    return table


def explanation_lines(explanation: ExplainCheckpointResponse) -> list[str]:
    """Return what a checkpoint was compiled into as a whole."""
    lines = [
        f"{explanation.checkpoint.name}: {explanation.feature_count:,} features, "
        f"{explanation.tower_step_count:,} steps depend on one feature each and run once an "
        f"example; scoring one takes {words.operations(explanation.forward_operations)} operations"
    ]
    if explanation.unknown_steps:
        lines.append(f"dependencies unknown after: {', '.join(explanation.unknown_steps)}")
    if explanation.distrust_reason:
        lines.append(f"no rule is used: {explanation.distrust_reason}")
    return lines


def routes_table(routes: Iterable[AblationRoute]) -> Table:
    """One row a class of features that reach the prediction the same way."""
    table = table_of("#features", "joins", "#on deltas", "#run again", "#operations a pair")
    for route in routes:
        table.add_row(
            f"{route.feature_count:,}",
            ", ".join(f"{join.kind} ({join.step})" for join in route.joins) or words.NOTHING,
            str(route.delta_step_count),
            str(route.rerun_step_count),
            words.operations(route.operations_per_pair),
        )
    return table


def fallbacks_table(routes: Iterable[AblationRoute]) -> Table:
    """One row a step that no rule covers."""
    table = table_of("=falls back at", "=operator", "#features", "why")
    for route in routes:
        for fallback in route.fallbacks:
            count = f"{route.feature_count:,}"
            table.add_row(fallback.step, fallback.operator, count, fallback.reason)
    return table


def costs_table(costs: Iterable[PredictedCost]) -> Table:
    """One row a coverage: operations to ablate all of one example."""
    table = table_of("#coverage", "#operations an example", "#plain ablation", "#less by")
    for cost in costs:
        table.add_row(
            words.percent(cost.coverage),
            words.operations(cost.operations),
            words.operations(cost.plain_operations),
            f"{cost.plain_operations / cost.operations:.1f}x",
        )
    return table
