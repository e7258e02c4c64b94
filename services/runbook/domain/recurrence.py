"""Whether trouble is new, or trouble that is known already."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.runbook.domain.diagnosis import culprits
from services.runbook.domain.evidence import Comparison, Window
from services.runbook.domain.incident import SERVICE, Incident
from services.runbook.domain.mitigation import IN_FORCE

RECURRENCE = timedelta(hours=24)
"""Event time within which the same culprits make the same incident."""
NOVELTY = timedelta(hours=24)
"""Event time for which a checkpoint is new."""


def broke_under_new_checkpoint(window: Window, checkpoint_since: datetime | None) -> bool:
    """Whether the model began to score with the window's checkpoint shortly before."""
    if checkpoint_since is None:
        return False
    return timedelta(0) <= window.start_time - checkpoint_since < NOVELTY


def recurs(closed: Incident, comparison: Comparison | None, window: Window) -> bool:
    """Whether an anomalous window is a closed incident's trouble again: soon, by its culprits."""
    if not closed.windows:
        return False
    gap = window.start_time - closed.windows[-1].end_time
    off = {f for m in closed.mitigations if m.state in IN_FORCE for f in m.plan.features}
    return gap < RECURRENCE and bool(closed.culprits & culprits(comparison, off))


def merged(newer: Incident, older: Incident, time: datetime) -> tuple[Incident, Incident] | None:
    """Return (newer, older) with the newer one merged into the older; None if they are two.

    An incident that opened before its culprits were known may turn out to be the one before.
    Where somebody was already asked about it, it stays.
    """
    separate = older.is_open or not newer.is_open or bool(newer.mitigations or newer.findings)
    if separate or not recurs(older, newer.comparison, newer.windows[0]):
        return None
    reason = f"the same culprits as {older.name}"
    ended = newer.closed(actor=SERVICE, time=time, reason=f"merged into {older.name}: {reason}")
    windows = {window.name: window for window in (*older.windows, *newer.windows)}
    again = replace(
        older.reopened(time=time, reason=f"{newer.name} merged into it: {reason}"),
        windows=tuple(sorted(windows.values(), key=lambda window: window.start_time)),
        comparison=newer.comparison,
    )
    return replace(ended, merged_into=older.id), again
