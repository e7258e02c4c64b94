"""The command that ablates what a node feeds together."""

from typing import Annotated

import typer
from rich.table import Table

from aftershock import GroupTest
from aftershock._names import short
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, client_of, lineage_app
from aftershock.cli._output import show, show_json, table_of, waiting
from aftershock.v1.attribution_service_pb2 import ImportanceMove

_BEYOND = 3.0
"""Noises from which a shift is none of them."""


@lineage_app.command("group")
def group(
    context: typer.Context,
    nodes: Annotated[
        list[str],
        typer.Argument(help="Such as job:airflow:encode; or features: feature:age feature:city."),
    ],
    *,
    model: Annotated[str | None, typer.Option(help="The model's id.")] = None,
    around: Annotated[
        str | None, typer.Option(help="An incident: its model and its window.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Of the model; or the newest that is closed.")
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Likewise; or the newest healthy one before.")
    ] = None,
    earlier: Annotated[
        int, typer.Option(min=0, max=30, help="Healthy windows before that tell the noise.")
    ] = 6,
    as_json: AsJson = False,
) -> None:
    """Ablate what nodes feed together, and show how that moved against each feature alone.

    Features that stand in for each other matter to a model only together: alone, none of them
    shifts. Asked of examples that are kept for a day.
    """
    client = client_of(context, model)
    if around is not None:
        incident = client.incident(around)
        client = client_of(context, short(incident.model))
        window = window or incident.comparison.anomaly.name or None
    elif model is None:
        raise typer.BadParameter("say whose features: --model MODEL, or --around INCIDENT")
    with waiting("asking the aggregator and attribution"):
        found = client.test_group(nodes, window=window, control=control, earlier=earlier)
    if as_json:
        show_json(
            {
                "group_test": {
                    "control": found.control,
                    "window": found.window,
                    "earlier": found.earlier,
                    "result": found.result,
                }
            }
        )
        return
    show(_table(found), *_said(found))


def _table(found: GroupTest) -> Table:
    table = table_of("=feature", "#GFI before", "#now", "#shift", "#noise", "#in noises")
    table.add_row("all together", *_move(found.result.joint))
    for member in sorted(found.result.members, key=lambda member: -member.move.z):
        table.add_row(member.feature, *_move(member.move))
    return table


def _move(move: ImportanceMove) -> tuple[str, ...]:
    before, now = (window.gfi for window in move.windows[-2:])
    return tuple(map(words.number, (before, now, move.shift, move.noise, move.z)))


def _said(found: GroupTest) -> list[str]:
    joint = found.result.joint
    alone = [member.feature for member in found.result.members if member.move.z >= _BEYOND]
    shifted = f"{words.number(joint.z)} times the noise"
    if joint.z < _BEYOND:
        verdict = f"Together they shifted {shifted}: no more than they do while nothing is broken."
    elif alone:
        verdict = f"Together they shifted {shifted}; alone: {', '.join(alone)}."
    else:
        verdict = f"Together they shifted {shifted}, and none of them alone."
    counts = [window.example_count for window in joint.windows]
    return [
        verdict,
        f"{words.moment(found.window.start_time)} ({counts[-1]} examples) against "
        f"{words.moment(found.control.start_time)} ({counts[-2]}); noise from {len(found.earlier)} "
        "windows before.",
    ]
