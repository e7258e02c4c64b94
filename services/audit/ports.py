"""What the audit needs from outside."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.audit import Audit
from services.audit.domain.news import AuditNews
from services.audit.domain.parameters import (
    InsertionParameters,
    LabelCountsFile,
    LabelRowsFile,
    SaliencyParameters,
    ThresholdParameters,
)
from services.audit.domain.report import AuditReport, Insertion
from services.audit.domain.snapshot import LabelCounts, LabelledRows, ScoredLabels

Progress = Callable[[float, str], None]
"""Takes the share that is done and what is being done."""


class SnapshotSource(Protocol):
    """Where snapshots are read from. All of it blocks, and is idempotent.

    Every method raises SnapshotRefused where the file lies outside of the allowed roots, cannot be
    read or lacks a column.
    """

    def check(self, file: str, columns: Sequence[str] = ()) -> None:
        """Check that a file may be read, is there and has some columns. Reads no rows."""

    def rows(self, file: LabelRowsFile) -> LabelledRows:
        """Read rows of labels.

        Raises:
            MalformedLabels: a row's id or a label of a row appears twice.
            NoMultiLabelRows: no row holds two labels.
        """

    def counts(self, file: LabelCountsFile) -> LabelCounts:
        """Read co-occurrence counts.

        Raises:
            MalformedCounts: a pair is counted twice.
        """

    def scores(self, parameters: ThresholdParameters) -> ScoredLabels:
        """Read a machine's labels and a person's.

        Raises:
            MalformedLabels: labels and scores of a row do not pair.
        """

    def examples(self, file: str, count: int, without: Sequence[str] = ()) -> bytes:
        """Return the first examples as an Arrow IPC stream, without some columns."""

    def masks(self, file: str, column: str, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Return the masks of the first examples.

        Args:
            file: Parquet.
            column: lists of height * width elements; what is not 0 is the trigger.
            shape: at most so many examples, height, width.

        Returns:
            [N, height, width]
        """


class Analyst(Protocol):
    """Does what takes long, away from the event loop."""

    async def analyse(
        self, audit: Audit, progress: Callable[[float, str], Awaitable[None]]
    ) -> AuditReport:
        """Return the report of the snapshot itself: no checkpoint, no lineage. Idempotent.

        Cancelled, it stops the work before long.

        Raises:
            AuditError: the data or the parameters do not allow it.
        """


class AuditRepository(Protocol):
    """Keeps audits and reports. Safe to call from several tasks."""

    async def add(self, audit: Audit) -> Audit:
        """Keep an audit and return it, or the one of that name that is there. Idempotent.

        Raises:
            CannotKeep: there is no room, or none that can be written to.
        """

    async def get(self, name: str) -> Audit:
        """Return an audit.

        Raises:
            AuditNotFound: there is none of that name.
        """

    async def report(self, name: str) -> AuditReport:
        """Return the report of an audit.

        Raises:
            AuditNotFound: there is no such audit.
            AuditNotDone: it has no report.
        """

    async def change(
        self, name: str, change: Callable[[Audit], Audit], report: AuditReport | None = None
    ) -> Audit:
        """Replace an audit by what `change` makes of it, one change at a time.

        A report is kept before the audit is. Idempotent where `change` is.

        Raises:
            AuditNotFound: there is none of that name.
            CannotKeep: there is no room for the report; the audit is as it was.
        """

    async def newest(self, after: str | None, limit: int) -> Sequence[Audit]:
        """Return audits, newest first, from behind the one named `after`.

        Raises:
            InvalidParameters: there is none of that name, or no more.
        """


class Queue(Protocol):
    """Has audits carried out, a bounded number at a time."""

    def check_room(self) -> None:
        """Check that another audit may wait.

        Raises:
            NoRoom: as many wait as are taken on.
        """

    def submit(self, name: str) -> None:
        """Have an audit carried out. Idempotent while it waits or runs."""

    def cancel(self, name: str) -> None:
        """Stop carrying it out. Idempotent."""


class CheckpointTests(Protocol):
    """Asks attribution about checkpoints. Idempotent.

    Every method raises PartnerRefused where attribution will not do what is asked of it,
    PartnerUnavailable where it cannot just now, and PartnerFailed where it is broken.
    """

    async def insertions(
        self, wanted: InsertionParameters, ids: Sequence[int], examples: bytes
    ) -> Mapping[int, Insertion]:
        """Return what appending each id to a list of the examples does.

        Ids that the feature cannot hold are left out.
        """

    async def saliency(
        self, checkpoint: str, wanted: SaliencyParameters, examples: bytes
    ) -> NDArray[np.float32]:
        """Return the Grad-CAM maps of the examples, [N, height, width]."""


class Lineage(Protocol):
    """What lies downstream of a snapshot, and its timeline."""

    async def model_count(self, node: str) -> int | None:
        """Return the number of models downstream of a node; None: not known. Idempotent."""

    async def record(self, audit: Audit, news: AuditNews) -> bool:
        """Put findings into the timeline of the audit's node, and last that the audit ended;
        whether it took all.

        Idempotent: a finding of an audit counts once.
        """
