"""Incidents in SQL: SQLite or PostgreSQL."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, SQLModel, col, select

from services.runbook.adapters.sql_audit import SqlAudit
from services.runbook.adapters.sql_codec import Codec
from services.runbook.adapters.sql_tables import (
    AuditRow,
    IncidentRow,
    IncidentWindowRow,
    MitigationRow,
    TimelineRow,
)
from services.runbook.domain.blast_radius import NOT_ASKED, Downstream
from services.runbook.domain.errors import IncidentNotFound, InvalidPageToken
from services.runbook.domain.evidence import Comparison, Window
from services.runbook.domain.finding import AuditFinding
from services.runbook.domain.incident import Incident, IncidentState, TimelineEntry
from services.runbook.domain.mitigation import (
    WATCHED,
    Mitigation,
    MitigationState,
    Stage,
    Transition,
)
from services.runbook.domain.plan import Change, Plan
from services.runbook.domain.preview import MissingPreview, Preview

_NUMBER = re.compile("[1-9][0-9]{0,8}")
_INCIDENT_ID = re.compile("INC-([1-9][0-9]{0,8})")
_COMPARISON = Codec[Comparison](Comparison)
_WINDOW = Codec[Window](Window)
_PLAN = Codec[Plan](Plan)
_PREVIEW = Codec[Preview | MissingPreview](Preview | MissingPreview)
_CHANGE = Codec[Change](Change)
_NAMES = Codec[tuple[str, ...]](tuple[str, ...])
_STAGE = Codec[Stage](Stage)
_FINDINGS = Codec[tuple[AuditFinding, ...]](tuple[AuditFinding, ...])
_DOWNSTREAM = Codec[Downstream](Downstream)


class SqlIncidents:
    """The incidents of one transaction, and the catalogue of all."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loaded: dict[str, Incident] = {}
        # A session forgets rows that nobody holds, and reads them again to change them.
        self._rows: list[SQLModel] = []

    def get(self, incident_id: str) -> Incident:
        """Return an incident. Raises IncidentNotFound."""
        row = self._session.get(IncidentRow, number_of(incident_id))
        if row is None:
            raise IncidentNotFound(f"there is no incident {incident_id}", field="name")
        return self._load(row)

    def recent(self, model: str) -> Sequence[Incident]:
        """Return the model's two newest incidents, the open one first."""
        is_open = col(IncidentRow.state) == IncidentState.OPEN
        newest = (
            select(IncidentRow)
            .where(IncidentRow.model == model, IncidentRow.merged_into == "")
            .order_by(is_open.desc(), col(IncidentRow.number).desc())
            .limit(2)
        )
        return [self._load(row) for row in self._session.exec(newest).all()]

    def next_id(self) -> str:
        """Return the id of the next incident."""
        newest = self._session.exec(select(func.max(IncidentRow.number))).one()
        return _id((newest or 0) + 1)

    def watched(self, model: str) -> Sequence[Incident]:
        """Return the model's incidents with a mitigation that later windows decide about."""
        numbers = select(MitigationRow.incident).where(col(MitigationRow.state).in_(WATCHED))
        rows = select(IncidentRow).where(
            IncidentRow.model == model, col(IncidentRow.number).in_(numbers)
        )
        every = self._session.exec(rows.order_by(col(IncidentRow.number)))
        return [self._load(row) for row in every.all()]

    def overdue(self, time: datetime) -> Sequence[str]:
        """Return the ids of incidents with a proposal that expires at `time` or before."""
        numbers = select(MitigationRow.incident).where(
            MitigationRow.state == MitigationState.PROPOSED,
            col(MitigationRow.expire_time) <= time,
        )
        return [_id(number) for number in sorted(set(self._session.exec(numbers)))]

    def page(self, model: str | None, size: int, token: str) -> tuple[Sequence[Incident], str]:
        """Return incidents, newest first, and the token of the next page."""
        query = select(IncidentRow).order_by(col(IncidentRow.number).desc()).limit(size + 1)
        if model:
            query = query.where(IncidentRow.model == model)
        if token:
            query = query.where(IncidentRow.number < _page_end(token))
        rows = self._session.exec(query).all()
        following = str(rows[size - 1].number) if len(rows) > size else ""
        return [self._load(row) for row in rows[:size]], following

    def open_ids(self) -> Sequence[str]:
        """Return the ids of all open incidents."""
        numbers = select(IncidentRow.number).where(IncidentRow.state == IncidentState.OPEN)
        return [_id(number) for number in self._session.exec(numbers)]

    def versions(self, model: str | None) -> Mapping[str, int]:
        """Return a number by incident id that grows with each change of the incident."""
        query = select(IncidentRow.number, IncidentRow.version)
        if model:
            query = query.where(IncidentRow.model == model)
        return {_id(number): version for number, version in self._session.exec(query)}

    def save(self, incident: Incident) -> None:
        """Write an incident, its new timeline entries and its new audit records."""
        number = number_of(incident.id)
        known = self._known(incident)
        row = self._session.get(IncidentRow, number) or IncidentRow(
            number=number, model=incident.model, state="", version=0, advice=""
        )
        row.state, row.advice, row.version = incident.state, incident.advice, row.version + 1
        row.new_checkpoint, row.merged_into = incident.new_checkpoint, incident.merged_into
        row.snooze_expire_time = incident.snooze_expire_time
        row.findings = _FINDINGS.dump(incident.findings) if incident.findings else None
        if known is None or known.comparison is not incident.comparison:
            row.comparison = _COMPARISON.dump(incident.comparison) if incident.comparison else None
        self._session.add(row)
        if known is None:
            # The others refer to it.
            self._session.flush()
        self._save_windows(number, incident.windows, known)
        self._save_timeline(number, incident.timeline, len(known.timeline) if known else 0)
        self._save_history(incident.name, incident.history, len(known.history) if known else 0)
        for mitigation in incident.mitigations:
            self._save_mitigation(number, mitigation, known)
        self._session.flush()
        self._loaded[incident.id] = incident

    def _known(self, incident: Incident) -> Incident | None:
        if incident.id not in self._loaded:
            row = self._session.get(IncidentRow, number_of(incident.id))
            return self._load(row) if row else None
        return self._loaded[incident.id]

    def _save_windows(self, number: int, windows: Sequence[Window], known: Incident | None) -> None:
        written = {window.name for window in known.windows} if known else set()
        self._session.add_all(
            IncidentWindowRow(
                incident=number,
                name=window.name,
                start_time=window.start_time,
                content=_WINDOW.dump(window),
            )
            for window in windows
            if window.name not in written
        )

    def _save_timeline(self, number: int, timeline: Sequence[TimelineEntry], written: int) -> None:
        self._session.add_all(
            TimelineRow(
                incident=number,
                ordinal=ordinal,
                time=entry.time,
                actor=entry.actor,
                message=entry.message,
            )
            for ordinal, entry in enumerate(timeline)
            if ordinal >= written
        )

    def _save_history(self, subject: str, history: Sequence[Transition], written: int) -> None:
        if steps := history[written:]:
            SqlAudit(self._session).append(subject, written, steps)

    def _save_mitigation(self, number: int, mitigation: Mitigation, known: Incident | None) -> None:
        others = known.mitigations if known else ()
        before = next((m for m in others if m.id == mitigation.id), None)
        if before == mitigation:
            return
        row = self._session.get(MitigationRow, (number, int(mitigation.id))) or MitigationRow(
            incident=number,
            ordinal=int(mitigation.id),
            state="",
            expire_time=mitigation.expire_time,
            plan_hash=mitigation.plan_hash,
            escalated_to="",
            plan=_PLAN.dump(mitigation.plan),
            preview=_PREVIEW.dump(mitigation.preview),
            downstream=_DOWNSTREAM.dump(mitigation.downstream),
        )
        row.state = mitigation.state
        row.change = _CHANGE.dump(mitigation.change) if mitigation.change else None
        row.applied_after = mitigation.applied_after
        row.verified_calibration = mitigation.verified_calibration
        row.required_approvals = mitigation.required_approvals
        row.escalated_to = _NAMES.dump(mitigation.escalated_to)
        row.lease_expire_time = mitigation.lease_expire_time
        row.stage = _STAGE.dump(mitigation.stage) if mitigation.stage else None
        self._session.add(row)
        written = len(before.history) if before else 0
        self._save_history(mitigation.name, mitigation.history, written)

    def _load(self, row: IncidentRow) -> Incident:
        number = row.number
        windows = self._session.exec(
            select(IncidentWindowRow.content)
            .where(IncidentWindowRow.incident == number)
            .order_by(col(IncidentWindowRow.start_time))
        )
        mitigations = self._session.exec(
            select(MitigationRow)
            .where(MitigationRow.incident == number)
            .order_by(col(MitigationRow.ordinal))
        ).all()
        timeline = self._session.exec(
            select(TimelineRow)
            .where(TimelineRow.incident == number)
            .order_by(col(TimelineRow.ordinal))
        )
        self._rows += [row, *mitigations]
        histories = self._histories(f"incidents/{_id(number)}", mitigations)
        incident = Incident(
            id=_id(number),
            model=row.model,
            comparison=_COMPARISON.load(row.comparison) if row.comparison else None,
            new_checkpoint=row.new_checkpoint,
            merged_into=row.merged_into,
            snooze_expire_time=row.snooze_expire_time,
            findings=_FINDINGS.load(row.findings) if row.findings else (),
            windows=tuple(_WINDOW.load(content) for content in windows),
            history=histories[f"incidents/{_id(number)}"],
            mitigations=tuple(_mitigation(m, histories) for m in mitigations),
            timeline=tuple(TimelineEntry(t.time, t.actor, t.message) for t in timeline),
            advice=row.advice,
        )
        self._loaded[incident.id] = incident
        return incident

    def _histories(
        self, incident: str, mitigations: Sequence[MitigationRow]
    ) -> Mapping[str, tuple[Transition, ...]]:
        """Return the transitions of an incident and of its mitigations, by resource name."""
        subjects = [incident, *(f"{incident}/mitigations/{m.ordinal}" for m in mitigations)]
        rows = self._session.exec(
            select(AuditRow)
            .where(col(AuditRow.subject).in_(subjects))
            .order_by(col(AuditRow.ordinal))
        )
        histories = defaultdict[str, tuple[Transition, ...]](tuple)
        for row in rows:
            step = Transition(row.before, row.after, row.time, row.actor, row.reason)
            histories[row.subject] += (step,)
        return histories


def _mitigation(row: MitigationRow, histories: Mapping[str, tuple[Transition, ...]]) -> Mitigation:
    plan = _PLAN.load(row.plan)
    return Mitigation(
        id=str(row.ordinal),
        plan=plan,
        preview=_PREVIEW.load(row.preview),
        expire_time=row.expire_time,
        history=histories[f"incidents/{plan.incident}/mitigations/{row.ordinal}"],
        change=_CHANGE.load(row.change) if row.change else None,
        applied_after=row.applied_after,
        verified_calibration=row.verified_calibration,
        required_approvals=row.required_approvals,
        escalated_to=_NAMES.load(row.escalated_to),
        lease_expire_time=row.lease_expire_time,
        stage=_STAGE.load(row.stage) if row.stage else None,
        downstream=_DOWNSTREAM.load(row.downstream) if row.downstream else NOT_ASKED,
    )


def _id(number: int) -> str:
    return f"INC-{number}"


def number_of(incident_id: str) -> int:
    """Return the row number of an incident. Raises IncidentNotFound where no id is like that."""
    match = _INCIDENT_ID.fullmatch(incident_id)
    if match is None:
        raise IncidentNotFound(f"there is no incident {incident_id}", field="name")
    return int(match[1])


def _page_end(token: str) -> int:
    if not _NUMBER.fullmatch(token):
        raise InvalidPageToken("no page ended with this page token", field="page_token")
    return int(token)
