"""Killed features and masked ids in memory: for trying things out, and for tests."""

from collections.abc import Mapping

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.kill_switch import Kill, Kills, restored, switched
from services.runbook.domain.plan import Change


class MemoryKilledFeatures:
    """Forgets everything when the process ends."""

    def __init__(self) -> None:
        self._kills: dict[str, Kills] = {}
        self._applied: set[str] = set()
        self._reverted: set[str] = set()

    async def read(self) -> Mapping[tuple[str, str], Kill]:
        """Return what is switched off by (model, lever)."""
        return {(m, feature): k for m, kills in self._kills.items() for feature, k in kills.items()}

    async def switch(self, key: str, model: str, change: Change) -> None:
        """Apply the change. Raises ActuatorConflict."""
        if key in self._reverted:
            raise ActuatorConflict(f"{key} was taken back")
        if key not in self._applied:
            self._kills[model] = switched(self._kills.get(model, {}), key, change)
            self._applied.add(key)

    async def restore(self, key: str, model: str, change: Change) -> None:
        """Undo the change and refuse the key from now on."""
        if key in self._applied - self._reverted:
            self._kills[model] = restored(self._kills.get(model, {}), key, change)
        self._reverted.add(key)

    async def expose(self, key: str, percent: int, step: int) -> None:
        """Set the share of traffic that what the key switched off is served to."""
        for model, kills in self._kills.items():
            self._kills[model] = {
                feature: kill.exposed(percent, step) if kill.key == key else kill
                for feature, kill in kills.items()
            }
