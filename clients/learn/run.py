"""From records to a policy file and a comparison."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from aftershock.v1.incident_pb2 import Incident
from clients.learn.comparing import Contest, Score, contest
from clients.learn.drills import read_drills
from clients.learn.incidents import Lesson, lessons_of, trials_of
from clients.learn.policy_file import DEFAULT_OTHER, chooser_in, write_policy
from clients.learn.training import train
from clients.learn.trial import CannotLearn, Trial, samples_of
from services.runbook.domain.learned import LearnedModel

_REFUSED = 3


@dataclass(frozen=True)
class Taught:
    """All that there is to learn from."""

    drilled: Sequence[Trial]
    recorded: Sequence[Trial]
    lessons: Sequence[Lesson]

    @property
    def trials(self) -> Sequence[Trial]:
        """Drills and incidents."""
        return [*self.drilled, *self.recorded]


@dataclass(frozen=True)
class Outcome:
    """A model, and what it was made of."""

    model: LearnedModel
    taught: Taught
    contest: Contest
    against: Path

    @property
    def trained_on(self) -> dict[str, int]:
        """How many of what."""
        return {
            "drilled_comparisons": len(self.taught.drilled),
            "incidents": len(self.taught.recorded),
            "decisions": len(self.taught.lessons),
        }


def taught(
    drills: Sequence[Path], incidents: Sequence[Incident], left_out: frozenset[str]
) -> Taught:
    """Return what there is to learn from.

    Raises:
        CannotLearn: a file holds no records, or what is left out teaches nothing anyhow.
    """
    lessons = lessons_of(incidents)
    unknown = left_out - {lesson.name for lesson in lessons}
    if unknown:
        raise CannotLearn(f"{', '.join(sorted(unknown))}: no decision there to leave out")
    kept = [lesson for lesson in lessons if lesson.name not in left_out]
    return Taught(read_drills(drills), trials_of(incidents, kept), kept)


def trained(taught: Taught, against: Path | None, at_least: float) -> Outcome:
    """Compare on what was kept from training, then train on everything. Raises CannotLearn."""
    other = against or DEFAULT_OTHER
    compared = contest(taught.trials, chooser_in(other), at_least)
    model = train(samples_of(taught.trials), at_least)
    return Outcome(model, taught, compared, other)


def write(file: Path, outcome: Outcome, name: str, mode: str) -> None:
    """Write the policy file."""
    write_policy(file, outcome.model, name=name, mode=mode, trained_on=outcome.trained_on)


def show(outcome: Outcome, file: Path, *, as_json: bool) -> None:
    """Print decisions, comparison and weights."""
    if as_json:
        typer.echo(json.dumps(_plain(outcome)))
        return
    console = Console(markup=False, highlight=False, soft_wrap=True)
    for lesson in outcome.taught.lessons:
        told = f"{lesson.name}: {', '.join(lesson.features)} {lesson.outcome}"
        console.print(f"{told}: {lesson.reason}" if lesson.reason else told)
    console.print(_scores(outcome))
    seen = outcome.contest
    console.print(
        f"On {seen.trials} comparisons ({seen.clean} of them clean), over {seen.features} features "
        f"and seeds {', '.join(map(str, seen.seeds))} that training had not seen. "
        f"Brier score {seen.brier:.4f}; always saying the share of broken features: "
        f"{seen.brier_of_share:.4f}."
    )
    console.print(_weights(outcome.model))
    console.print(f"Written to {file}, trained on everything.")


@contextmanager
def refusing() -> Iterator[None]:
    """Tell what cannot be learned as one line."""
    try:
        yield
    except CannotLearn as error:
        typer.echo(f"aftershock: {error}", err=True)
        raise typer.Exit(_REFUSED) from None


def _scores(outcome: Outcome) -> Table:
    table = Table("policy", "chosen", "right", "broken", "precision", "recall", "chosen if clean")
    table.columns[0].no_wrap = True
    rows = {"learned": outcome.contest.learned, outcome.against.name: outcome.contest.other}
    for name, score in rows.items():
        counts = (score.chosen, score.right, score.broken)
        shares = (_share(score.precision), _share(score.recall))
        table.add_row(name, *map(str, counts), *shares, str(score.clean_choices))
    return table


def _weights(model: LearnedModel) -> Table:
    table = Table("input", "weight of one standard deviation")
    for weight in sorted(model.weights, key=lambda weight: -abs(weight.coefficient)):
        table.add_row(weight.input, f"{model.slope * weight.coefficient:+.2f}")
    return table


def _plain(outcome: Outcome) -> dict[str, Any]:
    seen = outcome.contest
    return {
        **asdict(seen),
        "learned": _with_shares(seen.learned),
        "other": _with_shares(seen.other),
        "against": outcome.against.name,
        "digest": outcome.model.digest,
        "trained_on": outcome.trained_on,
        "decisions": [asdict(lesson) for lesson in outcome.taught.lessons],
    }


def _with_shares(score: Score) -> dict[str, Any]:
    return asdict(score) | {"precision": score.precision, "recall": score.recall}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
