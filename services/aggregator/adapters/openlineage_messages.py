"""OpenLineage's run, job and dataset events, spec 2-0-2 and older, as far as they are read here."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, ValidationError

from services.aggregator.adapters.openlineage_facets import (
    MOST_DATASETS,
    DatasetFacets,
    JobFacets,
    Message,
    Name,
    Namespace,
    RunFacets,
)
from services.chassis.errors import InvalidRequest

_MOST_PROBLEMS = 20
_LONGEST_PATH = 300
_FIRST_YEAR, _LAST_YEAR = 1970, 9000


def _text(time: Any) -> Any:
    """Refuse numbers, which Pydantic would read as seconds or milliseconds."""
    if not isinstance(time, str):
        raise ValueError("a time is text, as ISO 8601 has it, with a time zone")
    return time


def _reckonable(time: datetime) -> datetime:
    """Refuse times that no clock ever showed: arithmetic on them overflows."""
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise ValueError(f"lies before {_FIRST_YEAR} or after {_LAST_YEAR}")
    return time


class Dataset(Message):
    """An input, an output, or what a dataset event is about."""

    namespace: Namespace
    name: Name
    facets: DatasetFacets = DatasetFacets()
    input_facets: Annotated[dict[str, Any], Field(alias="inputFacets", default_factory=dict)]
    output_facets: Annotated[dict[str, Any], Field(alias="outputFacets", default_factory=dict)]


class Run(Message):
    """One run of a job."""

    run_id: Annotated[UUID, Field(alias="runId")]
    facets: RunFacets = RunFacets()


class Job(Message):
    """What reads inputs and writes outputs."""

    namespace: Namespace
    name: Name
    facets: JobFacets = JobFacets()


class RunState(StrEnum):
    """What happened to a run."""

    START = "START"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    ABORT = "ABORT"
    FAIL = "FAIL"
    OTHER = "OTHER"


class _Event(Message):
    event_time: Annotated[
        AwareDatetime,
        BeforeValidator(_text),
        AfterValidator(_reckonable),
        Field(alias="eventTime"),
    ]
    producer: str = ""


class _OfJob(_Event):
    job: Job
    inputs: Annotated[tuple[Dataset, ...], Field(max_length=MOST_DATASETS)] = ()
    outputs: Annotated[tuple[Dataset, ...], Field(max_length=MOST_DATASETS)] = ()


class RunEvent(_OfJob):
    """A run of a job started, went on or ended."""

    run: Run
    event_type: Annotated[RunState, Field(alias="eventType")] = RunState.OTHER


class JobEvent(_OfJob):
    """What a job reads and writes, without any run of it."""


class DatasetEvent(_Event):
    """What a dataset is, or what became of it, outside any run."""

    dataset: Dataset


Event = RunEvent | JobEvent | DatasetEvent


def read_event(content: object, path: str = "") -> Event:
    """Return the event that JSON `content` is.

    Args:
        content: what the JSON text stands for.
        path: where it stands in the request, for what is said of it.

    Raises:
        InvalidRequest: with the path of each field at fault, such as `inputs[0].namespace`.
    """
    if not isinstance(content, dict):
        raise InvalidRequest([(path, "an event is a JSON object")])
    kind = _kind(content)
    if kind is None:
        raise InvalidRequest(
            [(path, "neither a run event (run, job), a job event (job) nor a dataset event")]
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise InvalidRequest(
            (_path(path, problem["loc"]), problem["msg"].removeprefix("Value error, "))
            for problem in error.errors(include_url=False, include_input=False)[:_MOST_PROBLEMS]
        ) from error


def _kind(content: dict[str, object]) -> type[Event] | None:
    """Return which event it is by what it is about, as the spec's schemas tell them apart."""
    for field, kind in (("run", RunEvent), ("job", JobEvent), ("dataset", DatasetEvent)):
        if content.get(field) is not None:
            return kind
    return None


def _path(path: str, location: tuple[int | str, ...]) -> str:
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]":
            path += f".{step}" if path else step
    return path[:_LONGEST_PATH]
