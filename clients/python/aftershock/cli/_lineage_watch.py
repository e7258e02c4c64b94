"""The command that follows what comes to a model."""

import os
import select
import stat
import sys
import threading
from typing import Annotated

import typer

from aftershock._client import Client
from aftershock.cli import _words as words
from aftershock.cli._app import AsJson, client_of, lineage_app
from aftershock.cli._output import show, show_json_line
from aftershock.v1.lineage_pb2 import Feeling, PropagationWarning

_FEELINGS = {
    Feeling.FEELING_FELT: "seen there already",
    Feeling.FEELING_NOT_FELT: "not seen there yet",
    Feeling.FEELING_NOT_OBSERVED: "nobody looks at it",
}
_STRENGTHS = ((0.5, "strong"), (0.1, "clear"))
"""From which expected change of the logarithm of the calibration a shift is called so."""


@lineage_app.command()
def watch(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's id.")],
    *,
    least: Annotated[
        float, typer.Option(min=0, help="Leave out shifts expected to be weaker.")
    ] = 0.0,
    depth: Annotated[int, typer.Option(min=1, max=50, help="Edges upstream to look.")] = 6,
    cursor: Annotated[
        str, typer.Option(help="Of the last warning seen, as --json has it; or from now on.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Follow shifts that are on their way to a model, a line each, until interrupted.

    A service that restarts is found again, and nothing is missed.
    """
    client = client_of(context)
    # A misspelt model would be a quiet one.
    client.lineage(f"model:{model}", depth=1)
    _end_with_the_reader(client)
    if sys.stderr.isatty():
        show(f"Watching what comes to {model}: ^C ends it.", on_stderr=True)
    try:
        for warning in client.watch_propagation(
            model, cursor=cursor, depth=depth, least_expected_shift=least
        ):
            if as_json:
                show_json_line(warning)
            else:
                typer.echo(_line(warning))
    except KeyboardInterrupt:
        # It was to end so.
        return
    except BrokenPipeError:
        # Nothing is left to flush to at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end_with_the_reader(client: Client) -> None:
    """Close the client when nobody reads its output any more: a quiet watch would not notice."""
    try:
        output = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    except (OSError, ValueError):
        return
    if not is_pipe or not hasattr(select, "poll"):
        return
    poll = select.poll()
    poll.register(output, 0)

    def wait() -> None:
        poll.poll()
        client.close()

    threading.Thread(target=wait, daemon=True).start()


def _line(warning: PropagationWarning) -> str:
    """Return when, what broke, the way to the model, and what to expect there."""
    *way, _ = warning.path.nodes
    root = "" if not warning.roots or warning.roots[0] in way else f"{warning.roots[0]} -> "
    feature = warning.feature.removeprefix("feature:")
    path = " -> ".join(way[:-1])
    return (
        f"{words.moment(warning.event_time)}  root {root}{path}{' -> ' if path else ''}"
        f"your feature {feature} (strength {words.number(warning.path.strength)}): expect a "
        f"{_strength(warning.expected_shift)} shift, {words.number(warning.expected_shift)} at "
        f"most; {_FEELINGS.get(warning.feeling, 'not seen there yet')}"
    )


def _strength(expected: float) -> str:
    return next((name for least, name in _STRENGTHS if expected >= least), "weak")
