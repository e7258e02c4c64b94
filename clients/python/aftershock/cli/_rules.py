"""The command about a model's own rules."""

from datetime import timedelta
from typing import Annotated

import typer

from aftershock._errors import NotFound
from aftershock._names import model_name
from aftershock.cli._app import AsJson, app, client_of
from aftershock.cli._output import show, show_json, waiting
from aftershock.v1.aggregator_service_pb2 import ModelRules

_DAY = timedelta(days=1)


@app.command()
def rules(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's id.")],
    *,
    allowed_lateness: Annotated[
        float | None, typer.Option(min=0, help="Seconds that its windows wait for stragglers.")
    ] = None,
    retention_days: Annotated[
        float | None, typer.Option(min=1, help="Days that its windows are kept.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Go back to the aggregator's settings first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show or change what a model has instead of the aggregator's settings."""
    client = client_of(context)
    with waiting("asking the aggregator"):
        models = [found for found in client.models() if found.name == model_name(model)]
        if not models:
            raise NotFound(f"{model} is not known: see 'aftershock status'", code="NOT_FOUND")
        known = ModelRules() if default else models[0].rules
        if default or allowed_lateness is not None or retention_days is not None:
            lateness, retention = _own(known)
            known = client.set_model_rules(
                model,
                allowed_lateness=(
                    lateness if allowed_lateness is None else timedelta(seconds=allowed_lateness)
                ),
                retention=retention if retention_days is None else retention_days * _DAY,
            )
    if as_json:
        show_json({"rules": known})
        return
    lateness, retention = _own(known)
    show(
        f"allowed lateness: {_words(lateness)}",
        f"retention: {_words(retention)}",
    )


def _own(rules: ModelRules) -> tuple[timedelta | None, timedelta | None]:
    return (
        rules.allowed_lateness.ToTimedelta() if rules.HasField("allowed_lateness") else None,
        rules.retention.ToTimedelta() if rules.HasField("retention") else None,
    )


def _words(own: timedelta | None) -> str:
    return "the aggregator's setting" if own is None else str(own)
