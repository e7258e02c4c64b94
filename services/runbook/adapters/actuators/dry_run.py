"""Pretends: nothing outside this process changes."""

import logging

from services.runbook.adapters.memory_killed_features import MemoryKilledFeatures
from services.runbook.domain.kill_switch import settings_of
from services.runbook.domain.plan import Change, Plan, Settings

_log = logging.getLogger(__name__)


class DryRun:
    """Remembers what it would have done, and says it in the log."""

    def __init__(self) -> None:
        self._pretended = MemoryKilledFeatures()

    async def plan(self, plan: Plan) -> Change:
        """Return what would change."""
        return Change(await self.observe(plan), plan.target)

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Pretend to put the target in force. Raises ActuatorConflict."""
        await self._pretended.switch(key, plan.model, change)
        _log.info("dry run: would %s", plan, extra={"model": plan.model, "key": key})

    async def observe(self, plan: Plan) -> Settings:
        """Return what would be in force."""
        pretended = await self._pretended.read()
        ours = {f: kill for (model, f), kill in pretended.items() if model == plan.model}
        return settings_of(plan.target, ours)

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Pretend to put the previous settings back."""
        await self._pretended.restore(key, plan.model, change)
        _log.info("dry run: would undo to %s", plan, extra={"model": plan.model, "key": key})

    async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
        """Pretend to serve a share of traffic again."""
        await self._pretended.expose(key, percent, step)
        _log.info("dry run: would serve %s to %d %%", plan.subject, percent, extra={"key": key})
