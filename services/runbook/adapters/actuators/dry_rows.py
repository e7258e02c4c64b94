"""Pretends to have rows left out of training, or weighed: nothing outside this process changes."""

import logging

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.plan import USED, Change, Plan, Settings

_log = logging.getLogger(__name__)


class DryRows:
    """Remembers what the owner of the data would have been told, and says it in the log."""

    def __init__(self) -> None:
        self._settings: dict[tuple[str, str], str] = {}
        self._applied: set[str] = set()
        self._reverted: set[str] = set()

    async def plan(self, plan: Plan) -> Change:
        """Return what would change."""
        return Change(await self.observe(plan), plan.target)

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Pretend to put the target in force. Raises ActuatorConflict."""
        if key in self._reverted:
            raise ActuatorConflict(f"{key} was taken back")
        if key in self._applied:
            return
        found = await self.observe(plan)
        if changed := [lever for lever in found if found[lever] != change.previous[lever]]:
            raise ActuatorConflict(f"somebody else changed {', '.join(changed)} since")
        self._put(plan, change.target)
        self._applied.add(key)
        _log.info("dry run: would %s", plan, extra={"model": plan.model, "key": key})

    async def observe(self, plan: Plan) -> Settings:
        """Return what would be in force."""
        return {lever: self._settings.get((plan.model, lever), USED) for lever in plan.target}

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Pretend to put the previous settings back, where the target is in force."""
        if key in self._applied - self._reverted:
            found = await self.observe(plan)
            ours = {k: v for k, v in change.previous.items() if found[k] == change.target[k]}
            self._put(plan, ours)
        self._reverted.add(key)
        _log.info("dry run: would undo to %s", plan, extra={"model": plan.model, "key": key})

    def _put(self, plan: Plan, settings: Settings) -> None:
        self._settings |= {(plan.model, lever): setting for lever, setting in settings.items()}
