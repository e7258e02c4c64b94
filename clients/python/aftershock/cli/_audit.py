"""Commands about the audit."""

import typer

from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, audit_app, client_of
from aftershock.cli._output import show, show_json, waiting


@audit_app.command()
def verify(context: typer.Context, as_json: AsJson = False) -> None:
    """Check the runbook's audit for edits, deletions and reorders; exit 1 if there are any."""
    with waiting("reading the audit"):
        report = client_of(context).verify_audit()
    if as_json:
        show_json({"audit": report})
    else:
        found = "is as it was written" if report.intact else "was tampered with"
        show(
            f"The audit {found}: {words.counted(report.record_count, 'record')}, "
            f"{words.counted(report.anchor_count, 'anchor')}, "
            f"newest {report.head}",
            *(f"  {broken}" for broken in report.breaks),
        )
    if not report.intact:
        raise typer.Exit(1)
