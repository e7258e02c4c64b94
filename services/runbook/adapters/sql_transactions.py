"""Runs transactions in threads, again when another one was faster."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Session

from services.runbook.adapters.sql_engine import reading
from services.runbook.domain.errors import StoreUnavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)
_MOST_RACES = 20
_LOST_ON_POSTGRESQL = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "23505",  # unique_violation: the other one wrote the row first
    }
)
_LOST_ON_SQLITE = frozenset(
    {sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE}
)


class SqlTransactions:
    """Transactions on one database. Work may run several times, so it has no other effect."""

    def __init__(self, engine: Engine) -> None:
        self._writer = engine
        self._reader = reading(engine)
        # SQLite has one writer at a time, and those who wait for it sleep. In one process they
        # can be woken instead.
        one_writer = engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[object] = Lock() if one_writer else nullcontext()

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` and commit. Raises StoreUnavailable."""
        return await asyncio.to_thread(self._write, work)

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run `work`, which changes nothing, on a consistent view. Raises StoreUnavailable."""
        return await asyncio.to_thread(_run, self._reader, work)

    def _write(self, work: Callable[[Session], T]) -> T:
        with self._turn:
            return _run(self._writer, work)


def _run(engine: Engine, work: Callable[[Session], T]) -> T:
    lost: SQLAlchemyError | None = None
    for _ in range(_MOST_RACES):
        done = False
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                result = work(session)
                session.flush()
                done = True
            return result
        except SQLAlchemyError as error:
            lost = error
            if not (_lost_race(error) or (_cut(error) and not done)):
                break
    _log.error("the database refused a transaction", exc_info=lost)
    raise StoreUnavailable("the runbook's database cannot take this just now: try again") from lost


def _cut(error: SQLAlchemyError) -> bool:
    """Whether the connection was cut, perhaps while it idled: there are others.

    Nobody knows what became of a commit that was cut.
    """
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _lost_race(error: SQLAlchemyError) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    if getattr(error.orig, "sqlstate", None) in _LOST_ON_POSTGRESQL:
        return True
    return getattr(error.orig, "sqlite_errorcode", None) in _LOST_ON_SQLITE
