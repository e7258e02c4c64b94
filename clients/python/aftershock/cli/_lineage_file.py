"""Commands about lineage files."""

from pathlib import Path
from typing import Annotated

import typer

from aftershock._errors import InvalidLineageFile, InvalidRequest
from aftershock._lineage_file import LineageFile, explain, read_lineage_file
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, client_of, lineage_app
from aftershock.cli._output import show, show_json, waiting

File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A lineage file, YAML.")
]


@lineage_app.command()
def check(file: File, as_json: AsJson = False) -> None:
    """Look a lineage file over, without sending anything; exit 1 if it cannot be followed."""
    lineage = _read(file)
    if as_json:
        show_json({"lineage": lineage.request})
    else:
        show(_told(lineage))


@lineage_app.command()
def apply(context: typer.Context, file: File, as_json: AsJson = False) -> None:
    """Tell the aggregator what a lineage file says; what its provenance no longer tells ends."""
    lineage = _read(file)
    with waiting("registering"):
        try:
            client_of(context).register_lineage(lineage.request)
        except InvalidRequest as error:
            if not error.violations:
                raise
            raise InvalidLineageFile(explain(lineage, error.violations)) from error
    if as_json:
        show_json({"lineage": lineage.request})
    else:
        show(_told(lineage))


def _read(file: Path) -> LineageFile:
    try:
        return read_lineage_file(file)
    except InvalidLineageFile as error:
        show(*error.problems)
        raise typer.Exit(1) from None


def _told(lineage: LineageFile) -> str:
    request = lineage.request
    nodes = words.counted(len(request.nodes), "node")
    edges = words.counted(len(request.edges), "edge")
    return f"{request.provenance} tells of {nodes} and {edges}."
