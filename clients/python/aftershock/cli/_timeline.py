"""The command about what happened, and when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from aftershock._client import Client
from aftershock._errors import Conflict, InvalidRequest, NotFound
from aftershock._names import EVENTS, short
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, app, client_of
from aftershock.cli._output import show, show_json, table_of, waiting
from aftershock.v1.incident_pb2 import Incident
from aftershock.v1.lineage_pb2 import EventKind
from aftershock.v1.lineage_service_pb2 import ListedEvent

_HOUR = timedelta(hours=1)
_MOST_SUSPECTS = 30
_MOST_NODES = 900
"""That one question names."""
_MOST_EVENTS = 5_000


@dataclass(frozen=True)
class _Stretch:
    """Around when to look, at what."""

    nodes: list[str]
    start: datetime
    end: datetime
    break_time: datetime | None


@app.command()
def timeline(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's id.")],
    *,
    around: Annotated[
        str | None, typer.Option(help="An incident: show what happened near its break.")
    ] = None,
    before: Annotated[float, typer.Option(min=0, help="Hours before the break, or now.")] = 24.0,
    after: Annotated[float, typer.Option(min=0, help="Hours after the break.")] = 2.0,
    depth: Annotated[int, typer.Option(min=0, max=50, help="Edges upstream to look.")] = 6,
    kind: Annotated[
        list[str] | None, typer.Option(help=f"Only these: {', '.join(EVENTS)}.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a model and upstream of it; near a break, the nearest upstream first.

    Nearest counts from what shifted with the incident, other models and their features among it, as
    `lineage causes` has it. Runs that did not fail come last.
    """
    _check(kind or [])
    client = client_of(context)
    with waiting("asking the aggregator"):
        stretch = _stretch(client, model, around, before * _HOUR, after * _HOUR)
        events = client.events(
            stretch.nodes,
            depth=depth,
            start=stretch.start,
            end=stretch.end,
            kinds=kind or (),
            limit=_MOST_EVENTS if around else limit,
        )
    if stretch.break_time is not None:
        events = _nearest_first(events, stretch.break_time)
    shown = events[:limit]
    if as_json:
        show_json({"events": shown})
        return
    if not events:
        show(
            f"Nothing that anybody told of happened then to {', '.join(stretch.nodes)} or upstream "
            "of it: see docs/operations/lineage.md. 'aftershock status' shows the models."
        )
        return
    show(_table(shown, stretch.break_time))
    if len(events) > limit:
        show(f"{len(events) - limit} more: raise --limit.")


def _check(kinds: Iterable[str]) -> None:
    for kind in kinds:
        if kind not in EVENTS:
            raise typer.BadParameter(f"{kind}: choose of {', '.join(EVENTS)}", param_hint="--kind")


def _stretch(
    client: Client, model: str, around: str | None, before: timedelta, after: timedelta
) -> _Stretch:
    node = f"model:{short(model)}"
    if around is None:
        now = datetime.now(UTC)
        return _Stretch([node], now - before, now, None)
    incident = client.incident(around)
    window = incident.comparison.anomaly
    began = window.start_time if window.HasField("start_time") else incident.create_time
    break_time = began.ToDatetime(tzinfo=UTC)
    nodes = [node, *(name for name in _shifted(client, incident) if name != node)]
    return _Stretch(nodes, break_time - before, break_time + after, break_time)


def _shifted(client: Client, incident: Incident) -> list[str]:
    """Return what shifted with the incident, or the features that ranked first in its own window.

    Lineage may not know them, or the window be gone.
    """
    try:
        window = incident.comparison.anomaly.name
        if window:
            found = client.common_causes(window, limit=1, with_others=True)
            return list(found.shifted[:_MOST_NODES])
    except (InvalidRequest, NotFound, Conflict):
        pass
    shifts = [shift for shift in incident.comparison.shifts if shift.significant]
    return [f"feature:{shift.feature}" for shift in shifts[:_MOST_SUSPECTS]]


def _nearest_first(events: Iterable[ListedEvent], break_time: datetime) -> list[ListedEvent]:
    def place(listed: ListedEvent) -> tuple[bool, int, timedelta]:
        # A run that only ran is no news, and there is one an hour of each pipeline.
        is_run = listed.event.kind == EventKind.EVENT_KIND_PIPELINE_RUN
        ago = abs(listed.event.time.ToDatetime(tzinfo=UTC) - break_time)
        return is_run, listed.distance, ago

    return sorted(events, key=place)


def _table(events: Iterable[ListedEvent], break_time: datetime | None) -> Table:
    from_break = [] if break_time is None else ["from the break"]
    table = table_of("time (UTC)", *from_break, "=upstream", "=node", "event", "what", "by")
    for listed in events:
        event = listed.event
        moment = event.time.ToDatetime(tzinfo=UTC)
        table.add_row(
            words.moment(event.time),
            *([] if break_time is None else [words.since(moment, break_time)]),
            str(listed.distance),
            event.node,
            words.event_kind(event.kind),
            event.summary,
            event.actor or words.NOTHING,
        )
    return table
