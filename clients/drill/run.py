"""From what a person asks for to a report: chooses the subject, runs the plan, shows progress."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import typer

from clients.drill.ads.features import small_settings
from clients.drill.ads.population import AdsSettings
from clients.drill.drill import Drill, Plan
from clients.drill.errors import DrillError
from clients.drill.laboratory import Laboratory
from clients.drill.movielens.source import default_cache
from clients.drill.pipeline_cases import CASES, PAPER, Case, stale_case
from clients.drill.progress import Progressing, progressing
from clients.drill.records import write_records
from clients.drill.report import Report
from clients.drill.subject import OwnColumns, Subject, subject_of_parquet
from clients.drill.subjects import ads_subject, movielens_subject
from clients.drill.tables import show_report as show

__all__ = ["Choice", "Options", "draw", "drilled", "refusing", "show", "write_records"]

_REFUSED = 3


class NoSuchCase(DrillError):
    """A case was asked for that there is not."""


@dataclass(frozen=True)
class Choice:
    """What to drill."""

    world: str
    rows: int
    history: int
    windows: int
    examples: Path | None = None
    checkpoint: Path | None = None
    time_column: str | None = None
    population_column: str | None = None
    key_column: str | None = None
    features: int = 200
    small: bool = False
    normalised: bool = False
    seed: int = 0

    def subject(self, folder: Path, progress: Progressing) -> Subject:
        """The subject, made in `folder` where it is a built-in world.

        Raises:
            DrillError: the examples and the checkpoint cannot be drilled.
        """
        most = self.history + self.windows
        if self.examples is not None:
            if self.checkpoint is None:
                raise DrillError("--examples takes the --checkpoint that goes with them")
            columns = OwnColumns(self.time_column, self.population_column, self.key_column)
            return subject_of_parquet(self.examples, self.checkpoint, self.rows, most, columns)
        if self.world == "ads":
            settings = (
                small_settings(seed=self.seed)
                if self.small
                else AdsSettings(features=self.features, seed=self.seed)
            )
            return ads_subject(
                settings, most, folder, normalised=self.normalised, progress=progress
            )
        return movielens_subject(
            default_cache(), self.rows, most, folder, seed=self.seed, progress=progress
        )


@dataclass(frozen=True)
class Options:
    """How to drill it."""

    cases: str
    windows: int
    picks: int
    same_rows: bool
    seed: int

    def plan(self, key: str | None) -> Plan:
        """The plan; all cases include stale values where a key says whose they are.

        Raises:
            NoSuchCase: a case is asked for that there is not.
        """
        cases = choose_cases(self.cases, key)
        return Plan(cases, self.windows, self.picks, self.same_rows, self.seed)


def choose_cases(text: str, key: str | None) -> Sequence[Case]:
    """The cases that `all`, `paper` or names with commas ask for.

    Raises:
        NoSuchCase: there is no such case.
    """
    known = CASES if key is None else {**CASES, "stale": stale_case(key)}
    groups = {"all": list(known.values()), "paper": list(PAPER.values())}
    if text in groups:
        return groups[text]
    unknown = [name for name in text.split(",") if name not in known]
    if unknown:
        raise NoSuchCase(f"no case {', '.join(unknown)}: there are {', '.join(known)}")
    return [known[name] for name in text.split(",")]


def drilled(choice: Choice, options: Options, top: int | None) -> Report:
    """Drill on a platform of its own, which goes when it ends.

    Raises:
        DrillError: something cannot be drilled.
    """
    # On shared cores more threads are slower.
    torch.set_num_threads(1)
    choose_cases(options.cases, key="")
    with tempfile.TemporaryDirectory(prefix="aftershock-drill-") as name, progressing() as progress:
        folder = Path(name)
        subject = choice.subject(folder, progress)
        plan = options.plan(subject.key)
        progress("starting the platform", 0.0)
        with Laboratory(subject, folder / "platform") as laboratory:
            drill = Drill(subject, laboratory)
            findings = drill(plan, lambda share: progress("drilling", share))
    return Report(findings, top or findings.default_top)


def draw(report: Report, folder: Path) -> None:
    """Write the figures as PNG.

    Raises:
        DrillError: matplotlib is not installed.
    """
    try:
        from clients.drill.figures import save_report_figures  # noqa: PLC0415 - the extra `drill`
    except ImportError as error:
        raise DrillError(
            f"figures need matplotlib ({error}): install it, or the extra 'drill'"
        ) from error
    save_report_figures(report, folder)


@contextmanager
def refusing() -> Iterator[None]:
    """Tell what the drill refuses as one line."""
    try:
        yield
    except DrillError as error:
        typer.echo(f"aftershock: {error}", err=True)
        raise typer.Exit(_REFUSED) from None
