"""The tables of the runbook's database."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, DateTime, Dialect, Index, Text, TypeDecorator, text
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, also where the database (SQLite) keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - the signature is SQLAlchemy's
    ) -> datetime | None:
        """Write in UTC. A time without a zone is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - the signature is SQLAlchemy's
    ) -> datetime | None:
        """Read as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _time(*, nullable: bool = False, index: bool = False) -> Any:
    return Field(sa_column=Column(UtcDateTime, nullable=nullable, index=index))


def _text(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(Text, nullable=nullable))


class IncidentRow(SQLModel, table=True):
    """An incident as it is now."""

    __tablename__ = "incident"
    # The rule that a model has one open incident at a time holds in the database too.
    __table_args__ = (
        Index(
            "incident_open_model",
            "model",
            unique=True,
            sqlite_where=text("state = 'OPEN'"),
            postgresql_where=text("state = 'OPEN'"),
        ),
    )

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    model: str = Field(index=True)
    state: str
    version: int
    """Grows with each change."""
    advice: str = _text()
    comparison: str | None = _text(nullable=True)
    """JSON."""
    new_checkpoint: bool = False
    merged_into: str = ""
    """Id of the incident that this one turned out to be."""
    snooze_expire_time: datetime | None = _time(nullable=True)
    findings: str | None = _text(nullable=True)
    """JSON."""


class IncidentWindowRow(SQLModel, table=True):
    """A window since the incident opened."""

    __tablename__ = "incident_window"

    incident: int = Field(primary_key=True, foreign_key="incident.number")
    name: str = Field(primary_key=True)
    start_time: datetime = _time()
    content: str = _text()
    """JSON."""


class MitigationRow(SQLModel, table=True):
    """A mitigation as it is now."""

    __tablename__ = "mitigation"

    incident: int = Field(primary_key=True, foreign_key="incident.number")
    ordinal: int = Field(primary_key=True)
    state: str = Field(index=True)
    expire_time: datetime = _time(index=True)
    plan_hash: str
    """As it was proposed; what a decision is compared with is computed anew."""
    plan: str = _text()
    """JSON, as the next two."""
    preview: str = _text()
    change: str | None = _text(nullable=True)
    applied_after: datetime | None = _time(nullable=True)
    verified_calibration: float | None = None
    required_approvals: int = 1
    escalated_to: str = _text()
    """JSON, as the stage and who is downstream."""
    lease_expire_time: datetime | None = _time(nullable=True)
    stage: str | None = _text(nullable=True)
    downstream: str | None = _text(nullable=True)


class TimelineRow(SQLModel, table=True):
    """One line of an incident's timeline."""

    __tablename__ = "timeline"

    incident: int = Field(primary_key=True, foreign_key="incident.number")
    ordinal: int = Field(primary_key=True)
    time: datetime = _time()
    actor: str
    message: str = _text()


class AuditRow(SQLModel, table=True):
    """Who changed which state, when and why. The history of incidents and mitigations is this."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_subject", "subject", "ordinal", unique=True),
        Index("audit_after_time", "after", "time"),
    )

    sequence: int = Field(primary_key=True)
    subject: str
    """Resource name."""
    ordinal: int
    """Place in the subject's history, from 0."""
    before: str
    after: str
    time: datetime = _time()
    actor: str
    reason: str = _text()
    hash: str
    """The record's link in the chain."""


class WorkRow(SQLModel, table=True):
    """The outbox."""

    __tablename__ = "work"
    __table_args__ = (Index("work_target", "incident", "mitigation"),)

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    incident: str
    mitigation: str | None = None
    call: str | None = _text(nullable=True)
    """JSON."""
    due: datetime = _time(index=True)
    lease_until: datetime | None = _time(nullable=True)
    attempts: int = 0


class FeedRow(SQLModel, table=True):
    """How far a model's stream of shifts has been read."""

    __tablename__ = "feed"

    model: str = Field(primary_key=True)
    cursor: str
    newest_window_end: datetime = _time()
    checkpoint_digest: str
    """That scored the newest window."""
    checkpoint_since: datetime | None = _time(nullable=True)
    """Start of its first window, if another one scored before it."""


class SeenWindowRow(SQLModel, table=True):
    """A window whose event was recorded: it counts once, however often it is published."""

    __tablename__ = "seen_window"

    name: str = Field(primary_key=True)


class SeenFindingRow(SQLModel, table=True):
    """A finding of an audit that was taken in: it counts once, however often it is read."""

    __tablename__ = "seen_finding"

    id: str = Field(primary_key=True)
    time: datetime = _time(index=True)


class SurfaceRow(SQLModel, table=True):
    """Where an incident is shown in one chat room."""

    __tablename__ = "surface"

    incident: int = Field(primary_key=True, foreign_key="incident.number")
    id: str = Field(primary_key=True)
    message: str = _text()
    shown: str
    told_count: int
    attachments: str = _text()
    """JSON."""
    holder: str
    lease_expire_time: datetime | None = _time(nullable=True)
    interrupted: bool
    version: int


class KilledFeatureRow(SQLModel, table=True):
    """A feature that is served at its baseline, or an id that is left out of its list."""

    __tablename__ = "killed_feature"

    model: str = Field(primary_key=True)
    feature: str = Field(primary_key=True)
    """Or, of an id, its lever."""
    key: str
    """The mitigation that switched it off."""
    served_percent: int = 0
    """Of traffic, to which it is served again."""
    step: int = 0
    """That set the share."""


class KillKeyRow(SQLModel, table=True):
    """What became of a mitigation's key; a key acts once."""

    __tablename__ = "kill_key"

    key: str = Field(primary_key=True)
    state: str
    """APPLIED or REVERTED."""
