"""Takes an audit on."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.audit.domain.audit import Audit, audit_name
from services.audit.domain.errors import AuditNotFound, InvalidParameters, SnapshotRefused
from services.audit.domain.parameters import AuditParameters, LabelRowsFile, SnapshotFile
from services.audit.ports import AuditRepository, Queue, SnapshotSource
from services.audit.try_checkpoints import TryCheckpoints


@dataclass(frozen=True)
class Start:
    """Keeps an audit and has it carried out, once a request."""

    audits: AuditRepository
    source: SnapshotSource
    try_checkpoints: TryCheckpoints
    queue: Queue

    async def __call__(
        self, request_id: str, snapshot: SnapshotFile, parameters: AuditParameters, seed: int
    ) -> Audit:
        """Return the audit that the request started, now or before.

        Raises:
            SnapshotRefused: a file may not be read.
            PartnerFailed: attribution will not do what is asked of a checkpoint.
            InvalidParameters: the request id has started another audit, or the past is held
                against a snapshot without outcomes.
            NoRoom: as many audits wait as are taken on.
        """
        audit = Audit(audit_name(request_id), snapshot, parameters, seed, datetime.now(UTC))
        try:
            known = await self.audits.get(audit.name)
        except AuditNotFound:
            known = await self._taken_on(audit)
        if (known.snapshot, known.parameters, known.seed) != (snapshot, parameters, seed):
            raise InvalidParameters(
                f"this request id has started {known.name}, of something else: take a new one",
                field="request_id",
            )
        return known

    async def _taken_on(self, audit: Audit) -> Audit:
        self.queue.check_room()
        _check_past(audit)
        await asyncio.to_thread(self._check_files, audit)
        await self.try_checkpoints(audit.parameters)
        self.queue.check_room()
        # What is kept is carried out, also where its caller has just gone.
        return await asyncio.shield(self._kept(audit))

    async def _kept(self, audit: Audit) -> Audit:
        kept = await self.audits.add(audit)
        self.queue.submit(kept.name)
        return kept

    def _check_files(self, audit: Audit) -> None:
        for field, file, columns in _files(audit):
            try:
                self.source.check(file, columns)
            except SnapshotRefused as error:
                error.field = field
                raise


def _check_past(audit: Audit) -> None:
    """Check that what is held against the past has outcomes, then and now."""
    past, snapshot = audit.parameters.concentration.past, audit.snapshot
    has_outcomes = isinstance(snapshot, LabelRowsFile) and snapshot.outcome_column is not None
    if past and not (has_outcomes and all(file.outcome_column for file in past)):
        raise InvalidParameters(
            "the past tells how often labels went with outcomes: name the outcome column of the "
            "snapshot and of each earlier one, or leave the past out",
            field="parameters.concentration.past",
        )


_File = tuple[str, str, Sequence[str]]
"""The path of its field in the request, itself, and columns that it must have."""


def _files(audit: Audit) -> Iterator[_File]:
    snapshot, parameters = audit.snapshot, audit.parameters
    if isinstance(snapshot, LabelRowsFile):
        yield _rows("snapshot.rows", snapshot)
    else:
        columns = (snapshot.label_column, snapshot.other_column, snapshot.count_column)
        yield "snapshot.counts.file", snapshot.file, columns
    for position, past in enumerate(parameters.concentration.past):
        yield _rows(f"parameters.concentration.past[{position}]", past)
    if insertion := parameters.insertion:
        yield "parameters.insertion.examples_file", insertion.examples_file, ()
    if saliency := parameters.saliency:
        masks = (saliency.mask_column,)
        yield "parameters.saliency.examples_file", saliency.examples_file, masks
    if scored := parameters.thresholds:
        columns = (scored.labels_column, scored.scores_column, scored.truth_column)
        yield "parameters.thresholds.file", scored.file, columns


def _rows(field: str, rows: LabelRowsFile) -> _File:
    columns = [rows.row_id_column, rows.labels_column]
    if rows.outcome_column:
        columns.append(rows.outcome_column)
    return f"{field}.file", rows.file, columns
