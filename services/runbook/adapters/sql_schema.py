"""Brings the database to the schema that this version of the runbook expects."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_LOCK = 7_307_115_311
"""Of PostgreSQL's advisory locks: two replicas that start together migrate one after the other."""


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Migrate up to a revision. Does nothing where the database has it."""
    _run(engine, command.upgrade, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Migrate down to a revision; `base` removes every table."""
    _run(engine, command.downgrade, revision)


def _run(engine: Engine, step: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    on_postgresql = engine.dialect.name == "postgresql"
    # A serializable snapshot would be taken before the lock is, and miss what the other one did.
    options = {"isolation_level": "READ COMMITTED"} if on_postgresql else {}
    with engine.execution_options(**options).begin() as connection:
        if on_postgresql:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        step(config, revision)
