"""Tables of windows, shifts, incidents, mitigations and checkpoints."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from aftershock._names import short
from aftershock.cli import _words as words
from aftershock.cli._checks import Check
from aftershock.v1.aggregator_service_pb2 import (
    ChooseSampleSizeResponse,
    FeatureSampleSize,
    ModelSummary,
    SampleSizeBasis,
)
from aftershock.v1.attribution_service_pb2 import (
    AblationRoute,
    ExplainCheckpointResponse,
    PredictedCost,
)
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.incident_pb2 import Incident, Mitigation, TimelineEntry
from aftershock.v1.runbook_service_pb2 import PolicySummary, ReplayedIncident
from aftershock.v1.shift_pb2 import Comparison, FeatureShift
from aftershock.v1.window_pb2 import Window

_DIGEST_LENGTH = 12


def models_table(models: Iterable[ModelSummary]) -> Table:
    """One row a model: its latest window, and what was ingested."""
    table = _table(
        "=model",
        "=checkpoint",
        "latest window",
        "state",
        "#considered",
        "#displayed",
        "calibration",
        "#batches",
        "#duplicate",
        "#refused",
    )
    for model in models:
        window = model.latest_window
        table.add_row(
            short(model.name),
            short(model.checkpoint.name) or words.NOTHING,
            short(window.name) or words.NOTHING,
            words.window_state(window.state) if window.name else words.NOTHING,
            f"{window.considered_count:,}",
            f"{window.displayed_count:,}",
            words.calibration(window),
            f"{model.block_count:,}",
            f"{model.duplicate_block_count:,}",
            f"{model.refused_block_count:,}",
        )
    return table


def windows_table(windows: Iterable[Window]) -> Table:
    """One row a window."""
    table = _table(
        "=window",
        "start (UTC)",
        "state",
        "#considered",
        "#displayed",
        "calibration",
        "#expected",
        "#observed",
        "=checkpoint",
    )
    for window in windows:
        known = window.HasField("calibration")
        table.add_row(
            short(window.name),
            words.moment(window.start_time),
            words.window_state(window.state),
            f"{window.considered_count:,}",
            f"{window.displayed_count:,}",
            words.calibration(window),
            f"{window.calibration.expected:,.1f}" if known else words.NOTHING,
            f"{window.calibration.observed:,}" if known else words.NOTHING,
            window.checkpoint_digest[:_DIGEST_LENGTH],
        )
    return table


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return what was compared, and the verdict."""
    anomaly, control = comparison.anomaly, comparison.control
    lines = [f"anomaly {anomaly.name}: calibration {words.calibration(anomaly)}"]
    if control.name:
        how = words.selection(comparison.control_selection)
        lines.append(f"control {control.name}: calibration {words.calibration(control)} ({how})")
    else:
        lines.append("control: none was found")
    if comparison.control_note:
        lines.append(f"note: {comparison.control_note}")
    digest = anomaly.checkpoint_digest[:_DIGEST_LENGTH]
    lines.append(
        f"checkpoint {digest}; shift = GFI(anomaly) - GFI(control), "
        "GFI = coverage x median of non-zero |LFI|"
    )
    return [*lines, f"verdict: {words.verdict(comparison)}"]


def shifts_table(shifts: Iterable[FeatureShift]) -> Table:
    """One row a feature, by rank."""
    table = _table(
        "#rank",
        "=feature",
        "kind",
        "#shift",
        "#95 % interval",
        "#GFI",
        "#coverage",
        "#GFI rank",
        "#z",
        "#score",
        "evidence",
        "significant",
    )
    for shift in shifts:
        table.add_row(
            str(shift.rank),
            shift.feature,
            words.kind(shift.kind),
            words.number(shift.shift),
            f"{words.number(shift.lower)} to {words.number(shift.upper)}",
            words.change(words.number(shift.control_gfi), words.number(shift.anomaly_gfi)),
            words.change(
                words.percent(shift.control_coverage), words.percent(shift.anomaly_coverage)
            ),
            words.change(str(shift.control_rank), str(shift.anomaly_rank)),
            f"{shift.z:.1f}",
            f"{shift.score:.1f}" if shift.evidence else words.NOTHING,
            words.evidence(shift),
            "yes" if shift.significant else "",
        )
    return table


def incidents_table(incidents: Iterable[Incident]) -> Table:
    """One row an incident."""
    table = _table(
        "=incident",
        "=model",
        "state",
        "opened (UTC)",
        "calibration",
        "verdict",
        "first suspect",
        "mitigations",
    )
    for incident in incidents:
        shifts: Sequence[FeatureShift] = incident.comparison.shifts
        table.add_row(
            short(incident.name),
            short(incident.model),
            words.incident_state(incident.state),
            words.moment(incident.create_time),
            words.calibration(incident.comparison.anomaly),
            words.incident_verdict(incident.verdict),
            shifts[0].feature if shifts else words.NOTHING,
            words.mitigation_states(incident.mitigations),
        )
    return table


def mitigations_table(mitigations: Iterable[Mitigation]) -> Table:
    """One row a mitigation: what it does, what was previewed and what came of it."""
    table = _table(
        "=mitigation",
        "state",
        "does",
        "previewed calibration",
        "verified",
        "expires (UTC)",
        "lease until (UTC)",
        "reason",
    )
    for mitigation in mitigations:
        verified = mitigation.verified_calibration
        table.add_row(
            short(mitigation.name),
            words.progress(mitigation),
            words.action(mitigation),
            words.preview(mitigation.preview),
            f"{verified:.2f}" if verified else words.NOTHING,
            words.moment(mitigation.expire_time),
            words.moment(mitigation.lease_expire_time),
            mitigation.reason,
        )
    return table


def policies_table(policies: Iterable[PolicySummary]) -> Table:
    """One row a policy, in the order in which they are asked."""
    table = _table("=policy", "#version", "mode", "action")
    for policy in policies:
        table.add_row(policy.name, str(policy.version), policy.mode, policy.action)
    return table


def replayed_table(replayed: Iterable[ReplayedIncident]) -> Table:
    """One row an incident: what a policy would have done, and what was done."""
    table = _table("=incident", "policy", "would have", "previewed calibration", "what was done")
    for incident in replayed:
        done = (
            f"{words.action(m)}: {words.mitigation_state(m.state)}" for m in incident.mitigations
        )
        table.add_row(
            short(incident.incident),
            incident.policy or words.NOTHING,
            incident.would,
            words.preview(incident.preview) if incident.would_act else words.NOTHING,
            "; ".join(done) or words.NOTHING,
        )
    return table


def timeline_table(timeline: Iterable[TimelineEntry]) -> Table:
    """One row an event, oldest first."""
    table = _table("time (UTC)", "who", "what")
    for entry in timeline:
        table.add_row(words.moment(entry.time), entry.actor, entry.message)
    return table


def checkpoints_table(checkpoints: Iterable[Checkpoint]) -> Table:
    """One row a checkpoint."""
    table = _table("=checkpoint", "trained until (UTC)", "#features", "digest")
    for checkpoint in checkpoints:
        table.add_row(
            checkpoint.name,
            words.moment(checkpoint.trained_until),
            f"{len(checkpoint.features):,}",
            checkpoint.digest[:_DIGEST_LENGTH],
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
    table = _table("#features", "joins", "#on deltas", "#run again", "#operations a pair")
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
    table = _table("=falls back at", "=operator", "#features", "why")
    for route in routes:
        for fallback in route.fallbacks:
            count = f"{route.feature_count:,}"
            table.add_row(fallback.step, fallback.operator, count, fallback.reason)
    return table


def costs_table(costs: Iterable[PredictedCost]) -> Table:
    """One row a coverage: operations to ablate all of one example."""
    table = _table("#coverage", "#operations an example", "#plain ablation", "#less by")
    for cost in costs:
        table.add_row(
            words.percent(cost.coverage),
            words.operations(cost.operations),
            words.operations(cost.plain_operations),
            f"{cost.plain_operations / cost.operations:.1f}x",
        )
    return table


def sample_size_lines(found: ChooseSampleSizeResponse, tolerance: float) -> list[str]:
    """Return how many examples are needed, and what that rests on."""
    window = found.window
    basis = "its importances, resampled"
    if found.basis == SampleSizeBasis.SAMPLE_SIZE_BASIS_SUMMARY:
        basis = "the standard errors kept of it, which shrink by the square root of the size"
    return [
        f"{found.sample_size:,} examples keep every standard error under {tolerance:g}",
        f"from {window.name} with {window.considered_count:,} considered and "
        f"{window.displayed_count:,} displayed: {basis}",
    ]


def sample_sizes_table(features: Iterable[FeatureSampleSize]) -> Table:
    """One row a feature, those that demand most first."""
    table = _table("=feature", "#examples", "#GFI", "#standard error now")
    for feature in features:
        table.add_row(
            feature.feature,
            f"{feature.sample_size:,}",
            words.number(feature.gfi),
            words.number(feature.standard_error),
        )
    return table


def checks_table(checks: Iterable[Check]) -> Table:
    """One row a check of the doctor."""
    table = _table("what", "health", "found", "what to do")
    for check in checks:
        table.add_row(check.subject, check.health, check.found, check.advice)
    return table


def _table(*columns: str) -> Table:
    """Return an empty table. `#` begins a column of numbers, `=` one of names, kept whole."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column.lstrip("#="),
            justify="right" if column.startswith("#") else "left",
            overflow="fold",
            no_wrap=column.startswith("="),
        )
    return table
