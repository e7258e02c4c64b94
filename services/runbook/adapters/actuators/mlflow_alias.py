"""Rollbacks by an alias in MLflow's model registry.

MLflow has no compare-and-set: the alias is read right before it is set and again right after. Only
a change that falls between those two calls, milliseconds apart, could be overwritten. What became
of a mitigation's key is noted in a tag of the registered model, beside the alias that it is about.
"""

from services.runbook.adapters.mlflow_registry import MlflowRegistry
from services.runbook.domain.errors import ActuatorConflict, ActuatorRefused, ActuatorUnavailable
from services.runbook.domain.plan import Change, MitigationKind, Plan, Settings

_APPLYING = "APPLYING"
_APPLIED = "APPLIED"
_REVERTED = "REVERTED"


class MlflowAlias:
    """Moves the alias that model servers follow."""

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry = registry

    async def plan(self, plan: Plan) -> Change:
        """Return which version the alias names, and which one it would."""
        if plan.kind is not MitigationKind.CHECKPOINT_ROLLBACK:
            raise ActuatorRefused(f"an alias carries out rollbacks, not {plan.kind}")
        if not await self._registry.has(plan.model, plan.checkpoint):
            raise ActuatorRefused(f"the registry has no version {plan.checkpoint} of {plan.model}")
        found = await self._registry.serving(plan.model)
        if plan.replaces and found != plan.replaces:
            raise ActuatorConflict(self._moved_to(found))
        return Change({self._registry.alias: found}, {self._registry.alias: plan.checkpoint})

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Let the alias name the target, if it names what is expected."""
        noted = await self._registry.note(plan.model, key)
        if noted == _REVERTED:
            raise ActuatorConflict(f"{key} was taken back")
        if noted == _APPLIED:
            return
        alias = self._registry.alias
        found = await self._registry.serving(plan.model)
        # An attempt that died after the alias was set finds its own work.
        if not (noted == _APPLYING and found == change.target[alias]):
            if found != change.previous[alias]:
                raise ActuatorConflict(self._moved_to(found))
            await self._registry.write_note(plan.model, key, _APPLYING)
            await self._set(plan, change.previous[alias], change.target[alias])
        await self._registry.write_note(plan.model, key, _APPLIED)

    async def observe(self, plan: Plan) -> Settings:
        """Return which version the alias names."""
        return {self._registry.alias: await self._registry.serving(plan.model)}

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Let the alias name the previous version, if it names the one that this key put there."""
        alias = self._registry.alias
        try:
            noted = await self._registry.note(plan.model, key)
            found = await self._registry.serving(plan.model)
            if noted in {_APPLYING, _APPLIED} and found == change.target[alias]:
                await self._set(plan, change.target[alias], change.previous[alias])
            await self._registry.write_note(plan.model, key, _REVERTED)
        except (ActuatorConflict, ActuatorRefused) as error:
            raise ActuatorUnavailable(str(error)) from error

    async def _set(self, plan: Plan, expected: str, version: str) -> None:
        """Read once more, set, and read again. Raises ActuatorConflict."""
        found = await self._registry.serving(plan.model)
        if found != expected:
            raise ActuatorConflict(self._moved_to(found))
        await self._registry.serve(plan.model, version)
        found = await self._registry.serving(plan.model)
        if found != version:
            raise ActuatorConflict(self._moved_to(found))

    def _moved_to(self, version: str) -> str:
        alias = self._registry.alias
        return f"somebody else moved {alias} to version {version} since this was planned"
