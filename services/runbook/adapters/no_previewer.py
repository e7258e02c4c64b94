"""For a runbook without an attribution service."""

from collections.abc import Sequence

from services.runbook.domain.errors import PreviewUnavailable
from services.runbook.domain.evidence import Window
from services.runbook.domain.preview import JointAblation
from services.runbook.domain.rollback import RegisteredCheckpoint
from services.runbook.domain.suspect import SuspectLabel


class NoPreviewer:
    """Says why there is no preview."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def newest(
        self,
        model: str,  # noqa: ARG002 - the port's signature
    ) -> Window:
        """Raise PreviewUnavailable."""
        raise PreviewUnavailable(self._reason)

    async def ablate(
        self,
        window: str,  # noqa: ARG002 - the port's signature
        sets: Sequence[Sequence[str]],  # noqa: ARG002 - the port's signature
    ) -> Sequence[JointAblation]:
        """Raise PreviewUnavailable."""
        raise PreviewUnavailable(self._reason)

    async def mask(
        self,
        window: str,  # noqa: ARG002 - the port's signature
        labels: Sequence[SuspectLabel],  # noqa: ARG002 - the port's signature
    ) -> JointAblation:
        """Raise PreviewUnavailable."""
        raise PreviewUnavailable(self._reason)

    async def replace(
        self,
        window: str,  # noqa: ARG002 - the port's signature
        checkpoint: RegisteredCheckpoint,  # noqa: ARG002 - the port's signature
    ) -> JointAblation:
        """Raise PreviewUnavailable."""
        raise PreviewUnavailable(self._reason)
