"""Engines for SQLite and PostgreSQL, on which a transaction means the same."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL

_READ_ONLY = "aftershock_read_only"
_BUSY_SECONDS = 10
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    # A commit that finds the log this long moves it into the database, and lets its caller wait.
    # `SqliteCheckpointer` sees to it before.
    "wal_autocheckpoint = 20000",
)


def open_engine(database_url: str) -> Engine:
    """Return an engine whose transactions are serializable. Nothing connects yet.

    SQLite: write-ahead log, durable commits, and one writer from the transaction's start on.
    PostgreSQL: isolation level SERIALIZABLE.
    """
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return create_engine(url, isolation_level="SERIALIZABLE")


def reading(engine: Engine) -> Engine:
    """Return the engine for transactions that only read: a consistent view, and no lock."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_READ_ONLY: True})
    return engine.execution_options(isolation_level="REPEATABLE READ")


def _open_sqlite(url: URL) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Transactions begin where we say so, not where the driver guesses.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
