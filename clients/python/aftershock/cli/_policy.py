"""Commands about policies."""

from pathlib import Path
from typing import Annotated

import typer

from aftershock.cli import _incident_tables as tables
from aftershock.cli._app import AsJson, client_of, policy_app
from aftershock.cli._output import show, show_json, waiting

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A policy file, YAML.")
]


@policy_app.command()
def check(context: typer.Context, file: File, as_json: AsJson = False) -> None:
    """Have the runbook look a policy file over; exit 1 if it could not follow it."""
    with waiting("checking"):
        checked = client_of(context).check_policy(file)
    if as_json:
        show_json({"check": checked})
    elif checked.problems:
        show(*checked.problems)
    elif checked.policies:
        show(tables.policies_table(checked.policies))
    else:
        show(f"{file} has no policy: nothing would be proposed by it.")
    if checked.problems:
        raise typer.Exit(1)


@policy_app.command()
def replay(
    context: typer.Context,
    file: File,
    model: Annotated[str | None, typer.Option(help="Of this model only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest incidents.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show what a policy file would have done about recorded incidents, beside what was done."""
    with waiting("replaying"):
        replayed = client_of(context).replay_policy(file, model, limit=limit)
    if as_json:
        show_json({"incidents": replayed})
        return
    acted = sum(incident.would_act for incident in replayed)
    show(
        tables.replayed_table(replayed),
        f"It would have acted on {acted} of {len(replayed)} incidents.",
    )
