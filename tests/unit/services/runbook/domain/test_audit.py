from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.runbook.domain.audit import (
    FIRST_LINK,
    Anchor,
    AuditRecord,
    inspect,
    link,
    linked,
)
from services.runbook.domain.mitigation import Transition
from tests.unit.services.runbook.builders import WALL_TIME

COUNT = 8


def chain(count: int = COUNT, reason: str = "because") -> list[AuditRecord]:
    records, before = [], FIRST_LINK
    for number in range(1, count + 1):
        time = WALL_TIME + timedelta(minutes=number)
        step = Transition("OPEN", "CLOSED", time, "ada", reason)
        records.append(linked(before, number, f"incidents/INC-{number}", 0, step))
        before = records[-1].hash
    return records


def anchor(record: AuditRecord) -> Anchor:
    return Anchor(record.sequence, record.hash, WALL_TIME)


PLACES = st.integers(0, COUNT - 1)


@given(st.sets(PLACES))
def test_what_nobody_touched_is_intact(anchored: set[int]) -> None:
    records = chain()
    report = inspect(records, [anchor(records[place]) for place in anchored])
    assert report.breaks == ()
    assert (report.record_count, report.anchor_count) == (COUNT, len(anchored))
    assert report.head == records[-1].hash


def test_an_empty_audit_is_intact() -> None:
    assert inspect([], []).breaks == ()


@given(PLACES, st.sampled_from(["actor", "reason", "before", "after", "time"]))
def test_an_edit_is_found(place: int, part: str) -> None:
    records = chain()
    step = records[place].step
    edited: Any = WALL_TIME if part == "time" else "somebody else"
    records[place] = replace(records[place], step=replace(step, **{part: edited}))
    (broken,) = inspect(records, []).breaks
    assert f"record {place + 1} (incidents/INC-{place + 1})" in broken


@given(PLACES)
def test_an_edit_with_a_hash_of_its_own_is_found_unless_it_is_the_newest(place: int) -> None:
    records = chain()
    kept = [anchor(records[-1])]
    before = records[place - 1].hash if place else FIRST_LINK
    step = replace(records[place].step, actor="somebody else")
    records[place] = linked(before, place + 1, records[place].subject, 0, step)
    assert bool(inspect(records, []).breaks) == (place < COUNT - 1)
    assert inspect(records, kept).breaks


@given(PLACES)
def test_a_deletion_is_found_of_the_newest_by_an_anchor(place: int) -> None:
    records = chain()
    kept = [anchor(records[-1])]
    del records[place]
    assert bool(inspect(records, []).breaks) == (place < COUNT - 1)
    assert inspect(records, kept).breaks


@given(PLACES, PLACES)
def test_a_reorder_is_found(one: int, other: int) -> None:
    records = chain()
    first, second = records[one], records[other]
    records[one] = replace(second, sequence=first.sequence)
    records[other] = replace(first, sequence=second.sequence)
    assert bool(inspect(records, []).breaks) == (one != other)


def test_an_audit_that_was_made_anew_is_found_by_an_anchor() -> None:
    old, new = chain(), chain(reason="another story")
    assert inspect(new, []).breaks == ()
    (broken,) = inspect(new, [anchor(old[3])]).breaks
    assert "record 4 (incidents/INC-4) is not the one that was anchored" in broken
    (broken,) = inspect(new[:3], [anchor(old[3])]).breaks
    assert "record 4 is gone" in broken


def test_a_hash_is_that_of_other_machines_too() -> None:
    step = Transition("", "OPEN", WALL_TIME, "runbook", 'café "quoted"')
    assert link(FIRST_LINK, 1, "incidents/INC-1", 0, step) == (
        "ecdd5fb99a5f58955cbbf1553479d1aa02c4afc72818c4d4a6d7384615651010"
    )
