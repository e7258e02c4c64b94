"""Commands that ask the lineage graph: show, trace, causes, blast-radius."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from aftershock._client import Client
from aftershock.cli import _lineage_tables as tables
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, client_of, lineage_app
from aftershock.cli._output import show, show_json, waiting
from aftershock.v1.lineage_service_pb2 import FindCommonCausesResponse

Node = Annotated[
    str, typer.Argument(help="Such as feature:user_embedding, model:ads_ctr or job:airflow:encode.")
]
Depth = Annotated[int, typer.Option(min=1, max=50, help="Edges to look.")]
_MODEL = "model:"
_FORMATS = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]


@lineage_app.command("show")
def show_graph(
    context: typer.Context,
    node: Node,
    *,
    depth: Depth = 3,
    as_of: Annotated[
        datetime | None, typer.Option(formats=_FORMATS, help="As it was then, UTC; or now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what feeds a node and what it feeds."""
    with waiting("asking the aggregator"):
        found = client_of(context).lineage(node, depth=depth, as_of=_utc(as_of))
    if as_json:
        show_json({"lineage": found})
        return
    show(tables.surroundings_table(found), *tables.cuts(found.truncation))


@lineage_app.command()
def trace(
    context: typer.Context,
    node: Node,
    *,
    start: Annotated[
        datetime | None,
        typer.Option(formats=_FORMATS, help="Windows since then, UTC; or a day before the end."),
    ] = None,
    end: Annotated[
        datetime | None, typer.Option(formats=_FORMATS, help="Windows before then; or until now.")
    ] = None,
    depth: Depth = 6,
    as_json: AsJson = False,
) -> None:
    """Show what is downstream of a shift, whether it is felt there, and where it came from."""
    with waiting("asking the aggregator"):
        told = client_of(context).trace_propagation(
            node, start=_utc(start), end=_utc(end), depth=depth
        )
    if as_json:
        show_json({"propagation": told})
        return
    show(tables.propagation_table(told), *tables.cuts(told.truncation))
    show(f"Windows from {words.moment(told.start_time)} to {words.moment(told.end_time)} count.")


@lineage_app.command()
def causes(
    context: typer.Context,
    shifted: Annotated[
        list[str],
        typer.Argument(help="An incident, such as INC-42; or the nodes that shifted together."),
    ],
    *,
    alone: Annotated[
        bool, typer.Option("--alone", help="Of an incident: look at its own window only.")
    ] = False,
    depth: Depth = 6,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show what several shifted features have in common upstream, the most likely first.

    Of an incident, what other models' windows of about that time showed is looked at as well.
    """
    with waiting("asking the aggregator"):
        found = _causes(client_of(context), shifted, depth, limit, with_others=not alone)
    if as_json:
        show_json({"causes": found})
        return
    chance = words.percent(found.coincidence_probability)
    if found.causes:
        show(tables.causes_table(found))
    else:
        show("Nothing upstream of them is known: see docs/operations/lineage.md.")
    show(*tables.group_lines(found), *tables.cuts(found.truncation))
    off = [name.removeprefix(_MODEL) for name in found.shifted if name.startswith(_MODEL)]
    models = f", the models {', '.join(off)} among them" if off else ""
    show(f"{len(found.shifted)} shifted{models}; by coincidence: {chance}.")


@lineage_app.command("blast-radius")
def blast_radius(
    context: typer.Context,
    nodes: Annotated[list[str], typer.Argument(help="What would be switched off together.")],
    *,
    within: Annotated[
        str | None, typer.Option(help="A model: features are switched off in it only.")
    ] = None,
    depth: Depth = 6,
    as_json: AsJson = False,
) -> None:
    """Show which models would notice if something were switched off, and how much at most."""
    with waiting("asking the aggregator"):
        found = client_of(context).blast_radius(nodes, within=within, depth=depth)
    if as_json:
        show_json({"blast_radius": found})
        return
    if found.models:
        show(tables.blast_radius_table(found))
    show(
        f"{words.counted(found.model_count, 'model')}, "
        f"{words.counted(found.feature_count, 'feature')} and "
        f"{words.counted(found.node_count, 'node')} in all.",
        *tables.cuts(found.truncation),
    )


def _causes(
    client: Client, shifted: Iterable[str], depth: int, limit: int, *, with_others: bool
) -> FindCommonCausesResponse:
    names = list(shifted)
    if any(":" in name for name in names):
        return client.common_causes(names, depth=depth, limit=limit)
    if len(names) > 1:
        raise typer.BadParameter("name one incident, or nodes such as feature:user_embedding")
    window = client.incident(names[0]).comparison.anomaly.name
    if not window:
        raise typer.BadParameter(f"{names[0]} has no window that was compared: name the nodes")
    return client.common_causes(window, depth=depth, limit=limit, with_others=with_others)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
