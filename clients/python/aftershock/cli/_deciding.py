"""Commands that decide: approve, reject, revert, renew, release, load."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from aftershock._client import Client
from aftershock._runbook_calls import EFFECTIVE, IN_FORCE, PROPOSED, States, pick_mitigation
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, app, client_of
from aftershock.cli._checkpoint_tables import checkpoints_table
from aftershock.cli._incident_tables import mitigations_table
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


@dataclass(frozen=True)
class _Decision:
    """A command that decides about one mitigation, once it was shown and confirmed."""

    name: str
    explanation: str
    states: States
    question: str
    doing: str
    decide: Callable[[Client, Mitigation, str], Mitigation]
    needs_reason: bool = True


_DECISIONS = (
    _Decision(
        "approve",
        "Approve a proposed mitigation, as it is shown and not otherwise.",
        PROPOSED,
        "Approve?",
        "approving",
        Client.approve,
        needs_reason=False,
    ),
    _Decision(
        "reject",
        "Reject a proposed mitigation, with a reason.",
        PROPOSED,
        "Reject?",
        "rejecting",
        Client.reject,
    ),
    _Decision(
        "revert",
        "Undo a mitigation that is in force, with a reason.",
        IN_FORCE,
        "Take it back?",
        "reverting",
        Client.revert,
    ),
    _Decision(
        "renew",
        "Extend a lease, or put in force again what is being released; with a reason.",
        IN_FORCE,
        "Keep it in force?",
        "renewing",
        Client.renew,
    ),
    _Decision(
        "release",
        "Serve an effective kill's features again by stages, or a mask's ids; with a reason.",
        EFFECTIVE,
        "Serve it again, a kill stage by stage?",
        "releasing",
        Client.release,
    ),
)


def _command(decision: _Decision) -> Callable[..., None]:
    def decide(
        context: typer.Context,
        target: Target,
        reason: Why = None,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        client = client_of(context)
        plan = _plan(client, target, decision.states)
        _confirm(plan, decision.question, yes)
        said = reason or (str(typer.prompt("Reason", err=True)) if decision.needs_reason else "")
        with waiting(decision.doing):
            decided = decision.decide(client, plan, said)
        _show_result(decided, as_json)

    return decide


for _decision in _DECISIONS:
    app.command(_decision.name, help=_decision.explanation)(_command(_decision))


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
        show(checkpoints_table([checkpoint]))


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
        f"  models downstream: {words.downstream(plan)}",
        on_stderr=True,
    )
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _show_result(mitigation: Mitigation, as_json: bool) -> None:
    if as_json:
        show_json({"mitigation": mitigation})
    else:
        show(mitigations_table([mitigation]))
