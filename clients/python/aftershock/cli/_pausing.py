"""Commands that ask for quiet: about one incident, or from all mitigations."""

from datetime import timedelta
from typing import Annotated

import typer

from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, app, client_of
from aftershock.cli._output import show, show_json, waiting
from aftershock.v1.runbook_service_pb2 import Pause

Reason = Annotated[
    str, typer.Option("--reason", "-r", prompt=True, help="Kept in the audit, shown to all.")
]


@app.command()
def pause(context: typer.Context, reason: Reason, as_json: AsJson = False) -> None:
    """Stop all mitigations: nothing is approved or applied, by anybody. Undoing stays possible."""
    with waiting("pausing"):
        state = client_of(context).pause(reason)
    _show(state, as_json)


@app.command()
def resume(context: typer.Context, reason: Reason, as_json: AsJson = False) -> None:
    """Let mitigations go on."""
    with waiting("resuming"):
        state = client_of(context).resume(reason)
    _show(state, as_json)


@app.command()
def snooze(
    context: typer.Context,
    incident: Annotated[str, typer.Argument(help="Such as INC-42.")],
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="For how long.")] = 30,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Kept in the timeline.")] = "",
    as_json: AsJson = False,
) -> None:
    """Call nobody about an incident for a while. Its proposals expire as ever."""
    with waiting("snoozing"):
        quiet = client_of(context).snooze(incident, timedelta(minutes=minutes), reason)
    if as_json:
        show_json({"incident": quiet})
    else:
        until = words.moment(quiet.snooze_expire_time)
        show(f"Nobody is called about {quiet.name} before {until} UTC.")


def _show(state: Pause, as_json: bool) -> None:
    if as_json:
        show_json({"pause": state})
    else:
        show(words.pause(state))
