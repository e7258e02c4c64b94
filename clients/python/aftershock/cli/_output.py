"""Where answers go: tables or JSON on standard output, waiting on standard error."""

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from aftershock.cli._fitting import fitted

_PATIENCE_SECONDS = 1.0
_PIPE_WIDTH = 160
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def show(*parts: RenderableType, on_stderr: bool = False) -> None:
    """Print tables and lines; a table too wide for the terminal as a paragraph a row."""
    known_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    # Names come from data: nothing in them is markup.
    console = Console(
        stderr=on_stderr,
        width=None if known_width else _PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )
    for part in parts:
        if isinstance(part, str):
            console.print(harmless(part), soft_wrap=True)
        else:
            console.print(fitted(part, console.width) if isinstance(part, Table) else part)


def show_json(content: Mapping[str, object]) -> None:
    """Print JSON with the contract's field names; messages in it become objects."""
    typer.echo(json.dumps(_plain(content), indent=2))


def show_json_line(content: Message) -> None:
    """Print a message as one line of JSON, at once."""
    typer.echo(json.dumps(_plain(content)))


def harmless(text: str) -> str:
    """Return text without what a terminal obeys: names come from data, and anybody may choose one.

    Control characters, and those that turn the direction of writing, are shown as U+FFFD.
    """
    return _OBEYED.sub("\ufffd", text)


class _HarmlessTable(Table):
    """A table whose cells no terminal obeys."""

    def add_row(self, *cells: RenderableType | None, **style: Any) -> None:
        super().add_row(
            *(harmless(cell) if isinstance(cell, str) else cell for cell in cells), **style
        )


def table_of(*columns: str) -> Table:
    """Return an empty table. `#` begins a column of numbers, `=` one of names, kept whole."""
    table = _HarmlessTable(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column.lstrip("#="),
            justify="right" if column.startswith("#") else "left",
            overflow="fold",
            no_wrap=column.startswith("="),
        )
    return table


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show a moving bar once the block takes more than a second, where a person looks on."""
    bar = Progress(
        TextColumn(text),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    bar.add_task(text, total=None)
    start = threading.Timer(_PATIENCE_SECONDS, bar.start)
    start.daemon = True
    start.start()
    try:
        yield
    finally:
        start.cancel()
        start.join()
        bar.stop()


@contextmanager
def progressing(text: str) -> Iterator[Callable[[float], None]]:
    """Show a bar where a person looks on; yields what takes the share that is done."""
    columns = (TextColumn(text), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(text, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _plain(value: object) -> object:
    if isinstance(value, Message):
        return MessageToDict(
            value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
