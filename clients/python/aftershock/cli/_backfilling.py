"""The command that computes windows for history."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aftershock._client import Client
from aftershock._errors import ConfigurationError, NotFound
from aftershock._log import LogStats, sum_of
from aftershock._names import model_name
from aftershock.cli._app import AsJson, app, client_of
from aftershock.cli._output import progressing, show, show_json
from aftershock.v1.checkpoint_pb2 import Checkpoint

if TYPE_CHECKING:
    from aftershock._backfill import Backfill


SENT = "sent"


class _Population(StrEnum):
    considered = "considered"
    displayed = "displayed"


@app.command()
def backfill(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Parquet: one row an example.", exists=True)],
    *,
    model: Annotated[str, typer.Option(help="The model's id; its checkpoint is loaded.")],
    time_column: Annotated[
        str, typer.Option(help="When each example was scored: a timestamp with a time zone.")
    ] = "event_time",
    population_column: Annotated[
        str | None, typer.Option(help="'considered' or 'displayed', by example.")
    ] = None,
    population: Annotated[
        _Population, typer.Option(help="Of all examples, where no column says it.")
    ] = _Population.considered,
    prediction_column: Annotated[
        str | None, typer.Option(help="Logged predictions: with labels they make a calibration.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="1 for an event, 0 for none, null where it is not known.")
    ] = None,
    window_seconds: Annotated[
        int, typer.Option(min=1, help="Length of the aggregator's windows.")
    ] = 3600,
    as_json: AsJson = False,
) -> None:
    """Compute windows for history, oldest first; started again, it goes on where it stopped."""
    if bool(prediction_column) != bool(label_column):
        raise ConfigurationError("outcomes take both --prediction-column and --label-column")
    client = client_of(context, model)
    columns = (time_column, population_column, population.value, prediction_column, label_column)
    job = _job(client, model, file, columns, timedelta(seconds=window_seconds))
    with progressing("computing the file's digest") as progress:
        digest = job.history.digest(progress)
    with progressing("looking for windows") as progress:
        plan = job.plan(progress)
    stats: list[LogStats] = []
    with progressing(f"sending {len(plan.to_send)} windows") as progress:
        for one in job.send(plan.to_send, digest):
            stats.append(one)
            progress(len(stats) / len(plan.to_send))
    result = sum_of(stats)
    _tell(plan.fates, result, as_json)
    if plan.is_incomplete or result.refused:
        raise typer.Exit(3)


def _job(
    client: Client, model: str, file: Path, columns: tuple[Any, ...], window: timedelta
) -> "Backfill":
    """Return the backfill of a file; needs Arrow, which the command line alone does without."""
    try:
        from aftershock._backfill import Backfill  # noqa: PLC0415 - needs the extra
        from aftershock._history import Columns, History  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ConfigurationError(
            f"reading Parquet needs Arrow ({error}): pip install 'aftershock[arrow]'"
        ) from error
    checkpoint = _newest(client, model)
    # A group has no column in the file; its members have.
    features = [name for f in checkpoint.features for name in f.members or [f.name]]
    return Backfill(client, History(file, Columns(*columns), features, window), checkpoint)


def _newest(client: Client, model: str) -> Checkpoint:
    """Return the checkpoint that attribution takes when only the model is named."""
    name = model_name(model)
    found = [c for c in client.checkpoints() if c.name.startswith(f"{name}/checkpoints/")]
    if not found:
        raise NotFound(f"no checkpoint of {name} is loaded: aftershock load FOLDER")
    return max(found, key=lambda c: c.trained_until.ToNanoseconds())


def _tell(fates: Mapping[str, int], stats: LogStats, as_json: bool) -> None:
    if as_json:
        show_json({"windows": fates, "examples": asdict(stats)})
        return
    left_out = {fate: count for fate, count in fates.items() if fate != SENT}
    show(
        f"{fates.get(SENT, 0)} windows sent: {stats.accepted:,} examples accepted, "
        f"{stats.duplicate:,} stored before, {stats.refused:,} refused.",
        *(f"{count} windows left out: {fate}." for fate, count in sorted(left_out.items())),
    )
