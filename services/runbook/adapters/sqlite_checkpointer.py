"""Moves what SQLite's write-ahead log holds into the database, while nobody waits for it."""

import asyncio
import logging
import sqlite3
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

_log = logging.getLogger(__name__)
_SECONDS = 1.0


@dataclass(frozen=True)
class SqliteCheckpointer:
    """Left alone, SQLite does this within some commit, which then waits for the disk."""

    engine: Engine

    async def run(self) -> None:
        """Move again and again until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._move)
            except (SQLAlchemyError, sqlite3.Error) as error:
                # The log is read as well as the database: it only grows.
                _log.warning("the write-ahead log stays as it is: %s", error)
            await asyncio.sleep(_SECONDS)

    def _move(self) -> None:
        connection = self.engine.raw_connection()
        try:
            # Passive: waits for no reader and no writer.
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            connection.close()
