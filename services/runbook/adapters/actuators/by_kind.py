"""Each kind of mitigation by its own actuator."""

from collections.abc import Mapping
from typing import Protocol

from services.runbook.domain.errors import ActuatorRefused
from services.runbook.domain.plan import Change, MitigationKind, Plan, Settings
from services.runbook.ports import Actuator, Releases


class ActsOnServing(Actuator, Releases, Protocol):
    """Carries out what can end by stages."""


class ByKind:
    """Passes each plan on to the actuator of its kind."""

    def __init__(self, actuators: Mapping[MitigationKind, Actuator]) -> None:
        self._actuators = actuators

    @property
    def kinds(self) -> frozenset[MitigationKind]:
        """The kinds that have an actuator."""
        return frozenset(self._actuators)

    async def plan(self, plan: Plan) -> Change:
        """Plan. Raises ActuatorRefused where the kind has no actuator."""
        return await self._of(plan).plan(plan)

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Apply."""
        await self._of(plan).apply(key, plan, change)

    async def observe(self, plan: Plan) -> Settings:
        """Observe."""
        return await self._of(plan).observe(plan)

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Revert."""
        await self._of(plan).revert(key, plan, change)

    def _of(self, plan: Plan) -> Actuator:
        try:
            return self._actuators[plan.kind]
        except KeyError:
            raise ActuatorRefused(f"no actuator is configured for {plan.kind}") from None


class ReleasesByKind(ByKind):
    """The same for kinds that can end by stages."""

    def __init__(self, actuators: Mapping[MitigationKind, ActsOnServing]) -> None:
        super().__init__(actuators)
        self._releases = actuators

    async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
        """Serve to a share of traffic again."""
        await self._releases[plan.kind].expose(key, plan, percent, step)
