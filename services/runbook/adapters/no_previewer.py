"""For a runbook without an attribution service."""

from collections.abc import Sequence

from services.runbook.domain.errors import PreviewUnavailable
from services.runbook.domain.preview import JointAblation


class NoPreviewer:
    """Says why there is no preview."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def ablate(self, window: str, features: Sequence[str]) -> JointAblation:  # noqa: ARG002
        """Raise PreviewUnavailable."""
        raise PreviewUnavailable(self._reason)
