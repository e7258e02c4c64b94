"""The command that says, in one screen, whether examples arrive, are attributed and land."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from aftershock._channel import is_plaintext
from aftershock._client import Client
from aftershock._environment import Environment, Service
from aftershock._errors import AftershockError
from aftershock._names import model_name
from aftershock.cli import _checks as checks
from aftershock.cli._app import AsJson, app, client_of, describe
from aftershock.cli._checks import Check, Health
from aftershock.cli._output import show, show_json, table_of, waiting
from aftershock.v1.aggregator_service_pb2 import ModelSummary

Item = TypeVar("Item")

_RECENT_WINDOWS = 3


@app.command()
def doctor(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check that examples arrive, are attributed and land in windows."""
    with waiting("asking every service"):
        found = list(_examine(client_of(context), model))
    broken = any(check.health is Health.BROKEN for check in found)
    if as_json:
        show_json({"healthy": not broken, "checks": [asdict(check) for check in found]})
    else:
        show(_checks_table(found))
    if broken:
        raise typer.Exit(1)


def _examine(client: Client, model: str | None) -> Iterator[Check]:
    environment = Environment.read()
    yield from checks.check_environment(environment)
    attribution, checkpoints = _ask(client, Service.ATTRIBUTION, client.checkpoints)
    aggregator, models = _ask(client, Service.AGGREGATOR, client.models)
    runbook, _ = _ask(client, Service.RUNBOOK, lambda: client.incidents(limit=1))
    yield from (attribution, aggregator, runbook)
    wanted = model_name(model) if model else None
    if checkpoints is not None:
        yield checks.check_checkpoints(checkpoints, wanted)
    if models is None:
        return
    models = [m for m in models if wanted in {None, m.name}]
    yield from checks.check_silent_models(checks.of_model(checkpoints or (), wanted), models)
    for summary in models:
        yield from _examine_model(client, summary)


def _examine_model(client: Client, model: ModelSummary) -> Iterator[Check]:
    yield checks.check_ingest(model)
    windows = client.windows(model.name, limit=_RECENT_WINDOWS)
    yield checks.check_windows(model, windows)
    yield checks.check_outcomes(model, windows)


def _ask(
    client: Client, service: Service, question: Callable[[], Sequence[Item]]
) -> tuple[Check, Sequence[Item] | None]:
    """Return whether a service answers, and its answer."""
    try:
        answer = question()
        address = client._endpoints.of(service)
    except AftershockError as error:
        return Check(service, Health.BROKEN, describe(error)), None
    security = "plaintext" if is_plaintext(address, Environment.read()) else "TLS"
    return Check(service, Health.OK, f"answers at {address} ({security})"), answer


def _checks_table(checks: Iterable[Check]) -> Table:
    """Return one row a check."""
    table = table_of("what", "health", "found", "what to do")
    for check in checks:
        table.add_row(check.subject, check.health, check.found, check.advice)
    return table
