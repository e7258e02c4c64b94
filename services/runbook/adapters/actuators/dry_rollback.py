"""Pretends to roll back: nothing outside this process changes."""

import logging

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.plan import CHECKPOINT, Change, Plan, Settings

_log = logging.getLogger(__name__)
_UNKNOWN = "as served"


class DryRollback:
    """Remembers which checkpoint it would serve, and says it in the log."""

    def __init__(self) -> None:
        self._serving: dict[str, str] = {}
        self._applied: set[str] = set()
        self._reverted: set[str] = set()

    async def plan(self, plan: Plan) -> Change:
        """Return what would change."""
        return Change(await self.observe(plan), plan.target)

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Pretend to serve the checkpoint. Raises ActuatorConflict."""
        if key in self._reverted:
            raise ActuatorConflict(f"{key} was taken back")
        if key in self._applied:
            return
        found = await self.observe(plan)
        if found != change.previous:
            raise ActuatorConflict(f"{found[CHECKPOINT]} is served since this was planned")
        self._serving[plan.model] = change.target[CHECKPOINT]
        self._applied.add(key)
        _log.info("dry run: would %s", plan, extra={"model": plan.model, "key": key})

    async def observe(self, plan: Plan) -> Settings:
        """Return what would be served."""
        return {CHECKPOINT: self._serving.get(plan.model, plan.replaces or _UNKNOWN)}

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Pretend to serve what was served before."""
        ours = key in self._applied - self._reverted
        if ours and await self.observe(plan) == change.target:
            self._serving[plan.model] = change.previous[CHECKPOINT]
        self._reverted.add(key)
        _log.info("dry run: would undo to %s", plan, extra={"model": plan.model, "key": key})
