"""Models, windows and shifts, as people read them."""

from collections.abc import Iterable

from rich.table import Table

from aftershock._names import short
from aftershock.cli import _words as words
from aftershock.cli._output import table_of
from aftershock.v1.aggregator_service_pb2 import (
    ChooseSampleSizeResponse,
    FeatureSampleSize,
    ModelSummary,
    SampleSizeBasis,
)
from aftershock.v1.shift_pb2 import Comparison, FeatureShift
from aftershock.v1.window_pb2 import Window


def models_table(models: Iterable[ModelSummary]) -> Table:
    """One row a model: its latest window, and what was ingested."""
    table = table_of(
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
    table = table_of(
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
            window.checkpoint_digest[: words.DIGEST_LENGTH],
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
    digest = anomaly.checkpoint_digest[: words.DIGEST_LENGTH]
    lines.append(
        f"checkpoint {digest}; shift = GFI(anomaly) - GFI(control), "
        "GFI = coverage x median of non-zero |LFI|"
    )
    return [*lines, f"verdict: {words.verdict(comparison)}"]


def shifts_table(shifts: Iterable[FeatureShift]) -> Table:
    """One row a feature, by rank."""
    table = table_of(
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
    table = table_of("=feature", "#examples", "#GFI", "#standard error now")
    for feature in features:
        table.add_row(
            feature.feature,
            f"{feature.sample_size:,}",
            words.number(feature.gfi),
            words.number(feature.standard_error),
        )
    return table
