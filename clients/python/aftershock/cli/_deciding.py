"""Commands that decide: approve, reject, revert, renew, release, load."""

from typing import Annotated

import typer

from aftershock._calls import EFFECTIVE, IN_FORCE, PROPOSED, States, pick_mitigation
from aftershock._client import Client
from aftershock.cli import _tables as tables
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, app, client_of
from aftershock.cli._output import show, show_json, waiting
from aftershock.v1.incident_pb2 import Mitigation

Target = Annotated[
    str,
    typer.Argument(
        help="An incident with one such mitigation, such as INC-42, or a mitigation's full name."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Why = Annotated[str | None, typer.Option("--reason", "-r", help="Kept in the timeline.")]


@app.command()
def approve(
    context: typer.Context,
    target: Target,
    reason: Why = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Approve a proposed mitigation, as it is shown and not otherwise."""
    client = client_of(context)
    plan = _plan(client, target, PROPOSED)
    _confirm(plan, "Approve?", yes)
    with waiting("approving"):
        approved = client.approve(plan, reason or "")
    _show_result(approved, as_json)


@app.command()
def reject(
    context: typer.Context,
    target: Target,
    reason: Why = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Reject a proposed mitigation, with a reason."""
    client = client_of(context)
    plan = _plan(client, target, PROPOSED)
    _confirm(plan, "Reject?", yes)
    said = _reason(reason)
    with waiting("rejecting"):
        rejected = client.reject(plan, said)
    _show_result(rejected, as_json)


@app.command()
def revert(
    context: typer.Context,
    target: Target,
    reason: Why = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Undo a mitigation that is in force, with a reason."""
    client = client_of(context)
    plan = _plan(client, target, IN_FORCE)
    _confirm(plan, "Switch back?", yes)
    said = _reason(reason)
    with waiting("reverting"):
        reverted = client.revert(plan, said)
    _show_result(reverted, as_json)


@app.command()
def renew(
    context: typer.Context,
    target: Target,
    reason: Why = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Extend the lease of a kill, or kill again what is being released; with a reason."""
    client = client_of(context)
    plan = _plan(client, target, IN_FORCE)
    _confirm(plan, "Keep it switched off?", yes)
    said = _reason(reason)
    with waiting("renewing"):
        renewed = client.renew(plan, said)
    _show_result(renewed, as_json)


@app.command()
def release(
    context: typer.Context,
    target: Target,
    reason: Why = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Serve an effective kill's features again by stages, with a reason."""
    client = client_of(context)
    plan = _plan(client, target, EFFECTIVE)
    _confirm(plan, "Serve its features again, stage by stage?", yes)
    said = _reason(reason)
    with waiting("releasing"):
        released = client.release(plan, said)
    _show_result(released, as_json)


@app.command()
def load(
    context: typer.Context,
    folder: Annotated[
        str, typer.Argument(help="On attribution's disk, under one of its allowed roots.")
    ],
    as_json: AsJson = False,
) -> None:
    """Load a checkpoint folder into attribution."""
    with waiting(f"loading {folder}"):
        checkpoint = client_of(context).load_checkpoint(folder)
    if as_json:
        show_json({"checkpoint": checkpoint})
    else:
        show(tables.checkpoints_table([checkpoint]))


def _plan(client: Client, target: str, states: States) -> Mitigation:
    with waiting("asking the runbook"):
        incident = client.incident(target.partition("/mitigations/")[0])
    return pick_mitigation(incident, target, states)


def _confirm(plan: Mitigation, question: str, yes: bool) -> None:
    """Show the plan beside the question, apart from the answer on standard output."""
    show(
        f"{plan.name}: {words.action(plan)}",
        f"  now {words.progress(plan)}, proposed by {plan.proposer}",
        f"  calibration with it: {words.preview(plan.preview)}",
        *words.alternatives(plan.preview),
        on_stderr=True,
    )
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _reason(given: str | None) -> str:
    return given or str(typer.prompt("Reason", err=True))


def _show_result(mitigation: Mitigation, as_json: bool) -> None:
    if as_json:
        show_json({"mitigation": mitigation})
    else:
        show(tables.mitigations_table([mitigation]))
