"""The command `aftershock drill`, also `python -m clients.drill`.

Light to import, because `aftershock --help` does: what it takes to drill is imported by drilling.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(pretty_exceptions_enable=False)


class WorldName(StrEnum):
    """The built-in worlds."""

    MOVIELENS = "movielens"
    ADS = "ads"


@app.command()
def drill(
    *,
    world: Annotated[
        WorldName, typer.Option(help="What to drill where no examples are given.")
    ] = WorldName.MOVIELENS,
    examples: Annotated[
        Path | None, typer.Option(help="Parquet of your own logged examples.", exists=True)
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The checkpoint folder that goes with them.", exists=True)
    ] = None,
    time_column: Annotated[str | None, typer.Option(help="Puts your rows in order.")] = None,
    population_column: Annotated[
        str | None, typer.Option(help="'displayed' where an example was shown.")
    ] = None,
    key_column: Annotated[
        str | None, typer.Option(help="Whose values a row has: adds the case of stale values.")
    ] = None,
    rows: Annotated[int, typer.Option(min=2, help="Examples a window.")] = 4000,
    history: Annotated[int, typer.Option(min=2, help="Clean windows before the broken ones.")] = 8,
    windows: Annotated[int, typer.Option(min=1, help="Windows to break, the last ones.")] = 3,
    picks: Annotated[int, typer.Option(min=1, help="Choices of victims a case and window.")] = 1,
    cases: Annotated[
        str, typer.Option(help="all, paper, or some by name, with commas between.")
    ] = "all",
    same_rows: Annotated[
        bool, typer.Option(help="Control: the same rows unbroken, not the window before.")
    ] = False,
    features: Annotated[int, typer.Option(min=6, max=1000, help="Of the ads world.")] = 200,
    small: Annotated[bool, typer.Option(help="An ads world that takes seconds.")] = False,
    normalised: Annotated[
        bool, typer.Option(help="The ads model normalises before it lets features meet.")
    ] = False,
    top: Annotated[int | None, typer.Option(min=1, help="K; 3 % of the features if left out.")] = (
        None
    ),
    seed: Annotated[int, typer.Option(help="Of the world, the faults and their victims.")] = 0,
    figures: Annotated[Path | None, typer.Option(help="Folder to write PNG figures to.")] = None,
    records: Annotated[
        Path | None, typer.Option(help="File to write what was seen to, for policy train.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print numbers, not tables.")] = False,
) -> None:
    """Break copies of logged examples and see how well that is caught on your model and data.

    Starts the platform by itself, in a folder that goes when it ends. Whatever a fault's victims
    are follows from the seed.
    """
    from clients.drill import run  # noqa: PLC0415 - torch alone takes a second

    with run.refusing():
        chosen = run.Choice(
            world=world.value,
            examples=examples,
            checkpoint=checkpoint,
            time_column=time_column,
            population_column=population_column,
            key_column=key_column,
            rows=rows,
            history=history,
            windows=windows,
            features=features,
            small=small,
            normalised=normalised,
            seed=seed,
        )
        plan = run.Options(cases, windows, picks, same_rows, seed)
        report = run.drilled(chosen, plan, top)
        if figures is not None:
            run.draw(report, figures)
        if records is not None:
            run.write_records(report.findings, seed, records)
        if as_json:
            typer.echo(json.dumps(report.to_json()))
        else:
            run.show(report)
