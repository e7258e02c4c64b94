"""The command `aftershock policy train`.

Light to import, because `aftershock policy --help` does: scikit-learn is imported by training.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(pretty_exceptions_enable=False)


class LearnedMode(StrEnum):
    """What a learned policy may be told to do."""

    OBSERVE = "observe"
    SUGGEST = "suggest"


@app.command()
def train(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Policy file to write, JSON.", dir_okay=False)],
    *,
    drill: Annotated[
        list[Path], typer.Option(help="Records of a drill; give several.", exists=True)
    ],
    incidents: Annotated[
        bool, typer.Option(help="Learn from the runbook's incidents, too.")
    ] = True,
    model: Annotated[str | None, typer.Option(help="Of incidents: this model's only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest incidents.")] = 1000,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="A mitigation whose decision was not about its features: its name."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Policy file to compare with.", exists=True)
    ] = None,
    name: Annotated[str, typer.Option(help="Of the policy.")] = "learned",
    mode: Annotated[LearnedMode, typer.Option(help="What it may do.")] = LearnedMode.OBSERVE,
    at_least: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Probability that chooses a feature.")
    ] = 0.9,
    as_json: Annotated[bool, typer.Option("--json", help="Print numbers, not tables.")] = False,
) -> None:
    """Learn a policy from drills and from what experts decided, and compare it with another.

    Compared are policies on drills over features and seeds that training has not seen; then it is
    trained on everything, and written.
    """
    from clients.learn import run  # noqa: PLC0415 - scikit-learn takes a second

    with run.refusing():
        recorded = context.obj.incidents(model, limit=limit) if incidents else []
        taught = run.taught(drill, recorded, frozenset(leave_out or ()))
        outcome = run.trained(taught, against, at_least)
        run.write(file, outcome, name, mode.value)
    run.show(outcome, file, as_json=as_json)
