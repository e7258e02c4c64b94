"""What the doctor makes of what it sees."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec

from aftershock._environment import Environment
from aftershock._names import short
from aftershock.cli import _words as words
from aftershock.v1.aggregator_service_pb2 import ModelSummary
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.window_pb2 import Window, WindowState


class Health(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Check:
    """One thing looked at, what was found, and what to do about it."""

    subject: str
    health: Health
    found: str
    advice: str = ""


def check_environment(environment: Environment) -> Iterator[Check]:
    """Check what a pipeline on this machine would do."""
    if environment.disabled:
        yield Check(
            "pipeline",
            Health.WARNING,
            "AFTERSHOCK_DISABLED is set here: nothing is sent",
            "unset it to send examples",
        )
    if find_spec("pyarrow") is None:
        yield Check(
            "pipeline",
            Health.WARNING,
            "Arrow is not installed here: examples cannot be encoded",
            "pip install 'aftershock[arrow]' where the pipeline runs",
        )


def check_checkpoints(checkpoints: Sequence[Checkpoint], wanted: str | None) -> Check:
    """Check that there is something to attribute with: for the model `wanted`, or for any."""
    names = ", ".join(c.name.removeprefix("models/") for c in checkpoints)
    if of_model(checkpoints, wanted):
        return Check("checkpoints", Health.OK, f"{names} loaded")
    found, advice = "none is loaded", "load one with 'aftershock load FOLDER'"
    if wanted and checkpoints:
        found = f"none of {short(wanted)} is loaded, but {names}"
        advice += ", or look at the model's name again"
    return Check("checkpoints", Health.BROKEN, found, advice)


def of_model(checkpoints: Iterable[Checkpoint], wanted: str | None) -> list[Checkpoint]:
    """Return a model's checkpoints, or all where none is wanted."""
    return [c for c in checkpoints if wanted in {None, c.name.partition("/checkpoints/")[0]}]


def check_silent_models(
    checkpoints: Iterable[Checkpoint], models: Iterable[ModelSummary]
) -> Iterator[Check]:
    """Check that every loaded model has sent examples."""
    heard = {model.name for model in models if model.block_count}
    for name in sorted({c.name.partition("/checkpoints/")[0] for c in checkpoints} - heard):
        yield Check(
            short(name),
            Health.BROKEN,
            "no examples arrived",
            f"send some: Client(model='{short(name)}').examples()",
        )


def check_ingest(model: ModelSummary) -> Check:
    """Check that a model's batches are attributed and stored."""
    counts = f"{model.block_count:,} batches stored, {model.refused_block_count:,} refused"
    found = f"{counts}; latest event {words.moment(model.latest_event_time)} UTC"
    if model.refused_block_count:
        return Check(
            short(model.name),
            Health.WARNING,
            found,
            "refused are batches for closed windows or of another checkpoint: see the pipeline's "
            "log",
        )
    return Check(short(model.name), Health.OK, found)


def check_windows(model: ModelSummary, windows: Sequence[Window]) -> Check:
    """Check that a model's examples land in windows, from both populations."""
    subject = f"{short(model.name)} windows"
    if not windows:
        return Check(subject, Health.BROKEN, "none", "is event_time the time of scoring?")
    window = windows[0]
    found = (
        f"{short(window.name)} ({words.window_state(window.state)}): "
        f"{window.considered_count:,} considered, {window.displayed_count:,} displayed"
    )
    if not window.considered_count or not window.displayed_count:
        advice = "each population carries half of a window's weight: send both"
        return Check(subject, Health.WARNING, found, advice)
    return Check(subject, Health.OK, found)


def check_outcomes(model: ModelSummary, windows: Iterable[Window]) -> Check:
    """Check that the latest closed window has a calibration."""
    subject = f"{short(model.name)} outcomes"
    closed = [w for w in windows if w.state == WindowState.WINDOW_STATE_CLOSED]
    if not closed:
        return Check(subject, Health.OK, "no window is closed yet")
    if not closed[0].HasField("calibration"):
        return Check(
            subject,
            Health.WARNING,
            f"{short(closed[0].name)} is closed without outcomes: no incident can open",
            f"report them: Client(model='{short(model.name)}').outcomes(...)",
        )
    return Check(subject, Health.OK, f"calibration {words.calibration(closed[0])}")
