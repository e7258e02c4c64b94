"""Anchors for as long as this process lives."""

from collections.abc import Sequence

from services.runbook.domain.audit import Anchor


class MemoryAnchors:
    """Notices what is changed while the process runs. Forgets everything when it ends."""

    def __init__(self) -> None:
        self._anchors: list[Anchor] = []

    async def append(self, anchor: Anchor) -> None:
        """Keep an anchor."""
        self._anchors.append(anchor)

    async def last(self) -> Anchor | None:
        """Return the anchor that was kept last."""
        return self._anchors[-1] if self._anchors else None

    async def read(self) -> Sequence[Anchor]:
        """Return every anchor, oldest first."""
        return tuple(self._anchors)
