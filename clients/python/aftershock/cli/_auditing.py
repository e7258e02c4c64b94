"""Commands that look for labels that could hijack models."""

import time
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import Parse, ParseError

from aftershock._client import Client
from aftershock._errors import ConfigurationError, error_of
from aftershock._names import model_name, short
from aftershock.cli import _audit_report as report
from aftershock.cli import _audit_tables as tables
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, audit_app, client_of
from aftershock.cli._output import progressing, show, show_json, waiting
from aftershock.v1.audit_pb2 import (
    Audit,
    AuditParameters,
    AuditSnapshot,
    AuditState,
    InsertionParameters,
    LabelCountsFile,
    LabelRowsFile,
)
from aftershock.v1.audit_service_pb2 import GetAuditResponse

_LOOK_SECONDS = 0.2
_UNDER_WAY = (AuditState.AUDIT_STATE_QUEUED, AuditState.AUDIT_STATE_RUNNING)
_SHOWN = 15
Name = Annotated[str, typer.Argument(help="The audit, such as A-0f3c.")]


@audit_app.command()
def run(
    context: typer.Context,
    *,
    labels: Annotated[
        Path | None,
        typer.Option(help="Parquet on the service's disk: row_id, and labels as lists."),
    ] = None,
    counts: Annotated[
        Path | None, typer.Option(help="Instead: co-occurrence counts, label, other, count.")
    ] = None,
    outcome_column: Annotated[
        str, typer.Option(help="The class or outcome of each row, for label concentration.")
    ] = "",
    past: Annotated[
        list[Path] | None, typer.Option(help="An earlier snapshot: what is usual. Repeatable.")
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="A model or a checkpoint, for the insertion test.")
    ] = "",
    feature: Annotated[str, typer.Option(help="The id-list feature that labels are ids of.")] = "",
    examples: Annotated[
        Path | None, typer.Option(help="Parquet on the service's disk: examples for the test.")
    ] = None,
    lineage_node: Annotated[
        str, typer.Option(help="What the snapshot is in the lineage, as dataset:NAMESPACE:NAME.")
    ] = "",
    parameters: Annotated[
        Path | None,
        typer.Option(help="JSON of aftershock.v1.AuditParameters.", exists=True, dir_okay=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws whatever is drawn.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--report", help="Folder to write Markdown, JSON, figures to.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look through multi-label data for labels and ids that could hijack a model."""
    asked = _parameters(parameters)
    asked.lineage_node = lineage_node or asked.lineage_node
    asked.concentration.past.extend(_rows(file, outcome_column) for file in past or [])
    asked.feature = feature or asked.feature
    if checkpoint or examples:
        asked.insertion.MergeFrom(_insertion(checkpoint, feature, examples))
    client = client_of(context)
    audit = client.start_audit(_snapshot(labels, counts, outcome_column), asked, seed=seed)
    found = _followed(client, audit)
    if found.audit.state == AuditState.AUDIT_STATE_FAILED:
        raise error_of(found.audit.error)
    if folder and found.HasField("report"):
        report.write_report(found, folder)
    _tell(found, folder, as_json)
    if not found.HasField("report"):
        raise typer.Exit(3)


@audit_app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many to show, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show audits of data, newest first."""
    with waiting("asking the audit service"):
        found = client_of(context).audits(limit=limit)
    if as_json:
        show_json({"audits": found})
    else:
        show(tables.audits_table(found) if found else "No audit yet: 'aftershock audit run'.")


@audit_app.command("show")
def show_(
    context: typer.Context,
    name: Name,
    folder: Annotated[
        Path | None, typer.Option("--report", help="Folder to write Markdown, JSON, figures to.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an audit of data found."""
    with waiting("asking the audit service"):
        found = client_of(context).audit(name)
    if folder and found.HasField("report"):
        report.write_report(found, folder)
    _tell(found, folder, as_json)


@audit_app.command()
def cancel(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Stop an audit of data that waits or runs."""
    stopped = client_of(context).cancel_audit(name)
    if as_json:
        show_json({"audit": stopped})
    else:
        show(f"{short(stopped.name)} is {tables.state(stopped)}.")


@audit_app.command()
def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(help="The earlier audit.")],
    after: Annotated[str, typer.Argument(help="The later audit.")],
    as_json: AsJson = False,
) -> None:
    """Show hubs, exposure and concentration that appeared from one audit to another."""
    with waiting("comparing"):
        found = client_of(context).diff_audits(before, after)
    if as_json:
        show_json({"diff": found})
        return
    show(tables.changes_table(found.changes) if found.changes else "Nothing appeared.")
    if found.disappeared:
        show(f"No longer candidates: {', '.join(found.disappeared)}")


def _parameters(file: Path | None) -> AuditParameters:
    if file is None:
        return AuditParameters()
    try:
        return Parse(file.read_text(), AuditParameters())
    except (ParseError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is no JSON of AuditParameters: {error}") from error


def _snapshot(labels: Path | None, counts: Path | None, outcome_column: str) -> AuditSnapshot:
    if (labels is None) == (counts is None):
        raise ConfigurationError("give either --labels or --counts")
    if counts is not None:
        return AuditSnapshot(counts=LabelCountsFile(file=str(counts.absolute())))
    return AuditSnapshot(rows=_rows(labels or Path(), outcome_column))


def _rows(file: Path, outcome_column: str) -> LabelRowsFile:
    return LabelRowsFile(file=str(file.absolute()), outcome_column=outcome_column)


def _insertion(checkpoint: str, feature: str, examples: Path | None) -> InsertionParameters:
    if not (checkpoint and feature and examples):
        raise ConfigurationError(
            "the insertion test takes all of --checkpoint, --feature and --examples"
        )
    return InsertionParameters(
        checkpoint=model_name(checkpoint),
        feature=feature,
        examples_file=str(examples.absolute()),
    )


def _followed(client: Client, audit: Audit) -> GetAuditResponse:
    """Wait for an audit; stop it when the person who waits does."""
    try:
        with progressing(f"audit {short(audit.name)}") as progress:
            while (found := client.audit(audit.name)).audit.state in _UNDER_WAY:
                progress(found.audit.progress)
                time.sleep(_LOOK_SECONDS)
            progress(found.audit.progress)
    except KeyboardInterrupt:
        client.cancel_audit(audit.name)
        raise
    return found


def _tell(found: GetAuditResponse, folder: Path | None, as_json: bool) -> None:
    if as_json:
        show_json({"audit": found.audit, "report": found.report})
        return
    if not found.HasField("report"):
        done = words.percent(found.audit.progress)
        show(f"{short(found.audit.name)} is {tables.state(found.audit)}, {done} done.")
        return
    show(
        f"{short(found.audit.name)}: {tables.summary(found.report)}",
        tables.findings_table(found.report.findings[:_SHOWN]),
        *(f"missing: {missing}" for missing in tables.missing_tests(found.report)),
        *(f"note: {note}" for note in found.report.notes),
    )
    if folder:
        show(f"The report is {folder / 'report.md'}.")
