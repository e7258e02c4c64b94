"""Killed features in memory: for trying things out, and for tests."""

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.kill_switch import restored, switched
from services.runbook.domain.plan import Change


class MemoryKilledFeatures:
    """Forgets everything when the process ends."""

    def __init__(self) -> None:
        self._killed: dict[str, frozenset[str]] = {}
        self._applied: set[str] = set()
        self._reverted: set[str] = set()

    async def read(self) -> frozenset[tuple[str, str]]:
        """Return the killed features as (model, feature)."""
        return frozenset(
            (m, feature) for m, features in self._killed.items() for feature in features
        )

    async def switch(self, key: str, model: str, change: Change) -> None:
        """Apply the change. Raises ActuatorConflict."""
        if key in self._reverted:
            raise ActuatorConflict(f"{key} was taken back")
        if key not in self._applied:
            self._killed[model] = switched(self._killed.get(model, frozenset()), change)
            self._applied.add(key)

    async def restore(self, key: str, model: str, change: Change) -> None:
        """Undo the change and refuse the key from now on."""
        if key in self._applied - self._reverted:
            self._killed[model] = restored(self._killed.get(model, frozenset()), change)
        self._reverted.add(key)
