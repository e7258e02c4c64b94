"""Who says what happened to a model, and what would."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.runbook.domain.evidence import ShiftEvent, Window
from services.runbook.domain.finding import AuditEnd, AuditFinding
from services.runbook.domain.preview import JointAblation
from services.runbook.domain.rollback import RegisteredCheckpoint
from services.runbook.domain.suspect import SuspectLabel


class ShiftFeed(Protocol):
    """Closed windows as the aggregator publishes them."""

    def events(self, cursors: Mapping[str, str]) -> AsyncGenerator[ShiftEvent, None]:
        """Yield events after the cursors, by model, without end; at least once each, in order.

        An event counts as consumed when the next one is asked for.
        """


class Watermarks(Protocol):
    """How far event time has come."""

    async def latest(self, model: str) -> datetime | None:
        """Return the event time of the model's newest example; None if nobody can say."""


class ImportanceSource(Protocol):
    """How much features matter in closed windows."""

    async def gfi(self, window: str, features: Sequence[str]) -> Mapping[str, float]:
        """Return the GFI of these features in a window; none where the window is not known.

        Changes nothing. Raises ImportancesUnavailable: ask again.
        """


class Previewer(Protocol):
    """Asks the model what a mitigation would do."""

    async def newest(self, model: str) -> Window:
        """Return the model's newest closed window whose outcomes are known.

        Changes nothing. Raises PreviewUnavailable, which says why.
        """

    async def ablate(self, window: str, sets: Sequence[Sequence[str]]) -> Sequence[JointAblation]:
        """Return mean predictions over the window's sample with each set ablated together.

        Changes nothing. Raises PreviewUnavailable, which says why.
        """

    async def mask(self, window: str, labels: Sequence[SuspectLabel]) -> JointAblation:
        """Return mean predictions over the window's sample as things are and without these ids.

        Changes nothing. Raises PreviewUnavailable, which says why.
        """

    async def replace(self, window: str, checkpoint: RegisteredCheckpoint) -> JointAblation:
        """Return mean predictions over the window's sample as things are and with another
        checkpoint served.

        Changes nothing. Raises PreviewUnavailable, which says why.
        """


class Lineage(Protocol):
    """Who feels what a model predicts, and what was found in what feeds it."""

    async def downstream(self, model: str, features: Sequence[str] = ()) -> int:
        """Return how many other models feel what is done to the model.

        With `features`, these are switched off in it, and nothing else changes.

        Changes nothing. Raises LineageUnavailable, which says why.
        """

    async def told(self, since: datetime) -> Sequence[AuditFinding | AuditEnd]:
        """Return what audits of whatever data found since then, and which of them ended.

        Changes nothing. Raises LineageUnavailable, which says why.
        """

    async def fed(self, node: str) -> Sequence[str]:
        """Return the models downstream of a node, `models/{model}`; none where it is not known.

        Changes nothing. Raises LineageUnavailable, which says why.
        """

    async def findings(self, model: str, since: datetime) -> Sequence[AuditFinding]:
        """Return what audits found since then in what feeds the model, and no later one cleared.

        Changes nothing. Raises LineageUnavailable, which says why.
        """
