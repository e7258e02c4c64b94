"""How far the streams of shifts have been read, in SQL."""

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session, select

from services.runbook.adapters.sql_tables import FeedRow, SeenWindowRow
from services.runbook.domain.evidence import ShiftEvent


class SqlFeeds:
    """Cursors by model, and the windows that counted already."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(self, event: ShiftEvent) -> bool:
        """Move the model's cursor past the event. False: its window was seen before."""
        end = event.window.end_time
        digest = event.window.checkpoint_digest
        row = self._session.get(FeedRow, event.model) or FeedRow(
            model=event.model, cursor=event.cursor, newest_window_end=end, checkpoint_digest=digest
        )
        row.cursor = event.cursor
        if end > row.newest_window_end and digest != row.checkpoint_digest:
            row.checkpoint_since = event.window.start_time if row.checkpoint_digest else None
            row.checkpoint_digest = digest
        row.newest_window_end = max(row.newest_window_end, end)
        self._session.add(row)
        if self._session.get(SeenWindowRow, event.window.name):
            return False
        self._session.add(SeenWindowRow(name=event.window.name))
        return True

    def cursors(self) -> Mapping[str, str]:
        """Return the cursor of the last event recorded, by model."""
        return {row.model: row.cursor for row in self._session.exec(select(FeedRow))}

    def newest_window_end(self, model: str) -> datetime | None:
        """Return the latest end, in event time, of the model's windows that were seen."""
        row = self._session.get(FeedRow, model)
        return row.newest_window_end if row else None

    def checkpoint_since(self, model: str) -> datetime | None:
        """Return when the newest checkpoint's first window started, if another scored before."""
        row = self._session.get(FeedRow, model)
        return row.checkpoint_since if row else None
