"""The audit as a chain: each record's hash covers its content and the hash before it."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.runbook.domain.mitigation import Transition

FIRST_LINK = "0" * 64
"""What the first record's hash covers instead of a hash before it."""
_MOST_BREAKS = 100


@dataclass(frozen=True)
class AuditRecord:
    """One transition, where it stands in the audit, and its link in the chain."""

    sequence: int
    """Grows from record to record."""
    subject: str
    """Resource name of the incident or mitigation."""
    ordinal: int
    """Place in the subject's history, from 0."""
    step: Transition
    hash: str
    """SHA-256, in hexadecimal."""


@dataclass(frozen=True)
class Anchor:
    """The newest record's hash at some time, kept where the database's owner cannot change it."""

    sequence: int
    hash: str
    time: datetime


@dataclass(frozen=True)
class AuditReport:
    """What a verification found."""

    record_count: int
    anchor_count: int
    head: str
    """The newest record's hash."""
    breaks: tuple[str, ...]
    """What is wrong, in the order of the audit; the first hundred."""


def link(before: str, sequence: int, subject: str, ordinal: int, step: Transition) -> str:
    """Return a record's hash: SHA-256 of the hash before it and of its content's canonical JSON."""
    time = step.time.astimezone(UTC).isoformat(timespec="microseconds")
    told = [sequence, subject, ordinal, step.before, step.after, time, step.actor, step.reason]
    canonical = json.dumps([before, *told], separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def linked(before: str, sequence: int, subject: str, ordinal: int, step: Transition) -> AuditRecord:
    """Return the record that follows the one with the hash `before`."""
    return AuditRecord(
        sequence, subject, ordinal, step, link(before, sequence, subject, ordinal, step)
    )


def inspect(records: Iterable[AuditRecord], anchors: Iterable[Anchor]) -> AuditReport:
    """Verify the chain from its beginning, and that every anchored record is still in it.

    An edit, deletion, insertion or reorder breaks the chain at the next record; of the newest
    records, and of a chain that was made anew from some record on, only anchors can tell.
    """
    anchored = defaultdict(list)
    for anchor in anchors:
        anchored[anchor.sequence].append(anchor)
    anchor_count = sum(map(len, anchored.values()))
    breaks, before, count = [], FIRST_LINK, 0
    for record in records:
        count += 1
        if record.hash != link(
            before, record.sequence, record.subject, record.ordinal, record.step
        ):
            breaks.append(
                f"record {record.sequence} ({record.subject}) does not follow from the one before: "
                "it was changed, or what stood before it was changed, moved or removed"
            )
        breaks += [
            f"record {record.sequence} ({record.subject}) is not the one that was anchored at "
            f"{anchor.time:%Y-%m-%d %H:%M:%S} UTC"
            for anchor in anchored.pop(record.sequence, ())
            if anchor.hash != record.hash
        ]
        before = record.hash
    breaks += [
        f"record {sequence} is gone, which was anchored at {lost[0].time:%Y-%m-%d %H:%M:%S} UTC"
        for sequence, lost in sorted(anchored.items())
    ]
    return AuditReport(count, anchor_count, before, tuple(breaks[:_MOST_BREAKS]))
