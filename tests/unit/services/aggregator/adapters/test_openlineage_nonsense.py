"""Every part of an event is replaced by what should not stand there."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from services.aggregator.adapters.openlineage_events import observation_of
from services.aggregator.domain.lineage.schema import Observation
from services.chassis.errors import InvalidRequest
from tests.unit.services.aggregator.adapters.openlineage_world import (
    Lifecycle,
    as_json,
    column_lineage,
    lifecycle,
    run_event,
    schema,
    symlinks,
)

Path = tuple[int | str, ...]
_MADE_OF = column_lineage({"vector": [("raw", "age", "DIRECT/X")]}, [("raw", "age", "INDIRECT/Y")])
WHOLE = as_json(
    run_event(
        "FAIL",
        inputs={"raw": schema(age="int")},
        outputs={
            "out": schema(vector="f")
            | _MADE_OF
            | lifecycle(Lifecycle.RENAME, "older")
            | symlinks("h")
        },
        error="boom",
    )
)
NONSENSE: list[Any] = [
    *(None, True, 1, -1, 1e308, float("inf"), "", " ", "x", "::", "\0", "a" * 5000),
    *([], {}, [[]], [{}], [None], {"a": {}}, {"fields": 1}, [1, "a", {}]),
]


def _paths(content: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for step, part in parts if isinstance(content, dict | list) else ():
        yield from _paths(part, (*path, step))


def _with(path: Path, value: Any) -> Any:
    if not path:
        return value
    content = copy.deepcopy(WHOLE)
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return content


def _refusal(content: Any) -> list[tuple[str, str]] | None:
    """Return what is said of an event, None if it is read."""
    try:
        assert isinstance(observation_of(content, "[7]"), Observation)
    except InvalidRequest as refused:
        return refused.violations
    return None


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: repr(value)[:20])
def test_what_should_not_stand_there_is_read_or_refused_with_its_place(value: Any) -> None:
    for path in _paths(WHOLE):
        said = _refusal(_with(path, value))
        assert said is None or said, path
        assert all(field.startswith("[7]") and told for field, told in said or ()), path
