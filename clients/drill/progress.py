"""A progress bar for what takes more than a second."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

Progressing = Callable[[str, float], None]
"""Takes a stage, and the share of it that is done."""


def silent(stage: str, share: float) -> None:
    """Reports nothing."""


@contextmanager
def progressing() -> Iterator[Progressing]:
    """Show a bar on standard error where a person looks on."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("preparing", total=1.0)
        yield lambda stage, share: bar.update(task, description=stage, completed=share)
