"""Commands that look: status, windows, shifts, profile, sample-size, incidents, why and more."""

from typing import Annotated

import typer

from aftershock._client import Client
from aftershock._errors import NotFound
from aftershock._names import CONTROLS, ORDERS, model_name, short
from aftershock.cli import _checkpoint_tables as checkpoint_tables
from aftershock.cli import _incident_tables as incident_tables
from aftershock.cli import _window_tables as window_tables
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, app, checkpoint_app, client_of
from aftershock.cli._output import show, show_json, waiting
from aftershock.cli._profile import hitters_table, profile_lines, quantities_table
from aftershock.v1.importance_pb2 import Quantity
from aftershock.v1.incident_pb2 import Incident, IncidentState

Limit = Annotated[int, typer.Option(min=1, help="How many to show, newest first.")]
WindowTarget = Annotated[
    str,
    typer.Argument(
        help="A window, as MODEL/WINDOW or by its full name, or a model for its latest anomalous "
        "window."
    ),
]


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show each model's latest window, what was ingested, the open incidents, and a pause."""
    client = client_of(context)
    with waiting("asking the aggregator and the runbook"):
        models = client.models()
        incidents = [i for i in client.incidents() if i.state == IncidentState.INCIDENT_STATE_OPEN]
        pause = client.pause_state()
    if as_json:
        show_json({"models": models, "incidents": incidents, "pause": pause})
        return
    if models:
        show(window_tables.models_table(models))
    else:
        show("No model has sent examples yet: 'aftershock doctor' says what is missing.")
    show(incident_tables.incidents_table(incidents) if incidents else "No open incident.")
    if pause.paused:
        show(words.pause(pause))


@app.command()
def windows(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's id.")],
    limit: Limit = 24,
    as_json: AsJson = False,
) -> None:
    """Show a model's windows, newest first."""
    with waiting("asking the aggregator"):
        found = client_of(context).windows(model, limit=limit)
    if as_json:
        show_json({"windows": found})
    else:
        show(window_tables.windows_table(found) if found else f"{model} has no windows yet.")


def _known_order(order: str) -> str:
    if order not in ORDERS:
        raise typer.BadParameter(f"choose one of {', '.join(ORDERS)}")
    return order


@app.command()
def shifts(
    context: typer.Context,
    target: WindowTarget,
    *,
    control: Annotated[
        str | None, typer.Option(help=f"A window, or {' or '.join(CONTROLS)}.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many features to show.")] = 30,
    rank_by: Annotated[
        str, typer.Option(help=f"What to rank by: {', '.join(ORDERS)}.", callback=_known_order)
    ] = "evidence",
    as_json: AsJson = False,
) -> None:
    """Rank the features that may have broken in a window, with what speaks for each."""
    client = client_of(context)
    with waiting("comparing windows"):
        comparison = client.compare(
            _window(client, target), control=control, top=top, rank_by=rank_by
        )
    if as_json:
        show_json({"comparison": comparison})
    else:
        show(
            *window_tables.comparison_lines(comparison),
            window_tables.shifts_table(comparison.shifts),
        )


@app.command()
def profile(
    context: typer.Context,
    target: WindowTarget,
    feature: Annotated[str, typer.Argument(help="The feature's name.")],
    as_json: AsJson = False,
) -> None:
    """Show what a feature's values looked like in a window, and how they went with predictions."""
    client = client_of(context)
    with waiting("asking the aggregator"):
        found = client.profile(_window(client, target), feature)
    if as_json:
        show_json({"profile": found.profile})
        return
    quantities = found.profile.quantities
    hitters = [hitter for quantity in quantities for hitter in quantity.heavy_hitters]
    show(*profile_lines(found))
    if any(quantity.quantity != Quantity.QUANTITY_ID for quantity in quantities):
        show(quantities_table(quantities))
    if hitters:
        show(hitters_table(hitters))


@app.command()
def sample_size(
    context: typer.Context,
    target: WindowTarget,
    tolerance: Annotated[float, typer.Option(help="Largest standard error of any GFI.")],
    as_json: AsJson = False,
) -> None:
    """Show how many examples a window needs for every feature to be measured well enough."""
    client = client_of(context)
    with waiting("resampling"):
        found = client.sample_size(_window(client, target), tolerance=tolerance)
    if as_json:
        show_json({"sample_size": found})
    else:
        show(
            *window_tables.sample_size_lines(found, tolerance),
            window_tables.sample_sizes_table(found.features),
        )


@app.command()
def incidents(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show incidents, newest first."""
    with waiting("asking the runbook"):
        found = client_of(context).incidents(model, limit=limit)
    if as_json:
        show_json({"incidents": found})
    else:
        of_model = f" of {model}" if model else ""
        show(incident_tables.incidents_table(found) if found else f"No incident{of_model}.")


@app.command()
def why(
    context: typer.Context,
    incident: Annotated[str, typer.Argument(help="The incident, such as INC-42.")],
    top: Annotated[int, typer.Option(min=1, help="How many features to show.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the evidence of an incident: windows, checkpoint, shifts, mitigations, timeline."""
    with waiting("asking the runbook"):
        found = client_of(context).incident(incident)
    if as_json:
        show_json({"incident": found})
        return
    show(_headline(found))
    if not words.is_on_findings(found):
        show(*window_tables.comparison_lines(found.comparison))
        show(window_tables.shifts_table(found.comparison.shifts[:top]))
    if found.findings:
        show(incident_tables.findings_table(found.findings))
    if found.mitigations:
        show(incident_tables.mitigations_table(found.mitigations))
    show(incident_tables.timeline_table(found.timeline))
    if found.advice:
        show(f"next: {found.advice}")
    show(*words.decisions(found))


@app.command()
def checkpoints(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the checkpoints that attribution holds."""
    with waiting("asking attribution"):
        found = client_of(context).checkpoints()
    if as_json:
        show_json({"checkpoints": found})
    else:
        show(
            checkpoint_tables.checkpoints_table(found)
            if found
            else "No checkpoint is loaded: load one with 'aftershock load FOLDER'."
        )


@checkpoint_app.command()
def explain(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A checkpoint by its full name, or a model for its newest.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show how a checkpoint is ablated: joins, fallbacks, cost against plain ablation."""
    with waiting("asking attribution"):
        found = client_of(context).explain_checkpoint(name)
    if as_json:
        show_json({"explanation": found})
        return
    show(*checkpoint_tables.explanation_lines(found), checkpoint_tables.routes_table(found.routes))
    if any(route.fallbacks for route in found.routes):
        show(checkpoint_tables.fallbacks_table(found.routes))
    show(checkpoint_tables.costs_table(found.predicted_costs))


def _headline(incident: Incident) -> str:
    known = incident.comparison.anomaly.calibration
    broken = (
        f"{words.direction(known)}: calibration {known.ratio:.2f}, "
        f"expected {known.expected:,.1f}, observed {known.observed:,}"
    )
    if words.is_on_findings(incident):
        broken = f"could be hijacked: {words.suspect_labels(incident)}; calibration is healthy"
    return (
        f"{short(incident.name)} ({words.incident_state(incident.state)}): "
        f"{short(incident.model)} {broken}; "
        f"verdict {words.incident_verdict(incident.verdict)}"
        + (f"; merged into {short(incident.merged_into)}" if incident.merged_into else "")
    )


def _window(client: Client, target: str) -> str:
    """Return the full name of the window that a target means."""
    if "/windows/" in target:
        return target
    model, _, window = target.removeprefix("models/").partition("/")
    if window:
        return f"{model_name(model)}/windows/{window}"
    for found in client.windows(model):
        if found.calibration.anomalous:
            return found.name
    raise NotFound(
        f"{model} has no anomalous window: name one of 'aftershock windows {model}'",
        code="NOT_FOUND",
    )
