"""Kill-switches and masks as feature flags that model servers follow over flagd's sync protocol."""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.domain.errors import ActuatorRefused, ActuatorUnavailable, StoreUnavailable
from services.runbook.domain.kill_switch import Kill, settings_of
from services.runbook.domain.plan import Change, Plan, Settings
from services.runbook.domain.suspect import masked_id
from services.runbook.ports import KilledFeatures

_log = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
"""How soon this process follows a switch that another replica made."""

_NOTHING_KILLED = json.dumps({"flags": {}})
_FLAG = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}
_ALL_TRAFFIC = 100


class FlagBoard:
    """The flags as subscribers see them: what was last read from the store of killed features.

    A store that cannot be read changes nothing, so that no failure of ours un-kills a feature.
    """

    def __init__(self, killed: KilledFeatures) -> None:
        self._store = killed
        self._killed: Mapping[tuple[str, str], Kill] | None = None
        self._rendered: dict[str, str] = {}
        self._changes = ChangeSignal()
        # An older read that ends later must not bring an older state back.
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Read the killed features and tell the subscribers if they changed.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        async with self._reading:
            killed = await self._store.read()
            if killed != self._killed:
                self._killed = killed
                self._rendered = _rendered(killed)
                self._changes.ring()

    async def follow(self) -> None:
        """Refresh until cancelled; then end the subscribers' streams, so that they come back."""
        try:
            while True:
                try:
                    await self.refresh()
                except StoreUnavailable:
                    _log.warning("flags stay as they are: killed features cannot be read")
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            self._changes.close()

    async def configuration(self, model: str) -> str:
        """Return the flagd configuration, JSON; of one model if `model`, an id, is not empty.

        Raises:
            StoreUnavailable: killed features were never read. An empty configuration would un-kill.
        """
        if self._killed is None:
            await self.refresh()
        return self._rendered.get(model, _NOTHING_KILLED)

    async def configurations(self, model: str) -> AsyncIterator[str]:
        """Yield the configuration as it is, then again whenever it changes."""
        sent = None
        while not self._changes.closed:
            seen = self._changes.count
            configuration = await self.configuration(model)
            if configuration != sent:
                yield configuration
                sent = configuration
            await self._changes.wait(seen)


def _rendered(killed: Mapping[tuple[str, str], Kill]) -> dict[str, str]:
    """Return the configuration of each model with something switched off, and of all under ""."""
    every: dict[str, dict[str, Any]] = {"": {}}
    masked: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (name, lever), kill in sorted(killed.items(), key=itemgetter(0)):
        model = name.removeprefix("models/")
        if mask := masked_id(lever):
            # At the last stage the id is served, though it is still the mitigation's to mask again.
            if kill.served_percent < _ALL_TRAFFIC:
                feature, identifier = mask
                masked[model, feature].append(identifier)
            continue
        for scope in ("", model):
            every.setdefault(scope, {})[f"aftershock.kill.{model}.{lever}"] = _flag(kill)
    for (model, feature), identifiers in masked.items():
        for scope in ("", model):
            flag = _mask_flag(identifiers)
            every.setdefault(scope, {})[f"aftershock.mask.{model}.{feature}"] = flag
    return {scope: json.dumps({"flags": flags}) for scope, flags in every.items()}


def _mask_flag(identifiers: Sequence[str]) -> Mapping[str, Any]:
    """Return the flag of a feature that is served without some ids.

    They are text: numbers of 64 bits do not survive JSON everywhere.
    """
    variants = {"masked": {"ids": list(identifiers)}, "whole": {"ids": []}}
    return {"state": "ENABLED", "variants": variants, "defaultVariant": "masked"}


def _flag(kill: Kill) -> Mapping[str, Any]:
    """Return the flag of a killed feature.

    Requests are told apart by their targeting key, in the same way for all features of one
    mitigation. Whoever sends none keeps the features off until all traffic is served them.
    """
    percent = kill.served_percent
    if percent == 0:
        return _FLAG
    if percent == _ALL_TRAFFIC:
        return {**_FLAG, "defaultVariant": "off"}
    bucket = {"cat": [kill.key, {"var": "targetingKey"}]}
    share = {"fractional": [bucket, ["off", percent], ["on", _ALL_TRAFFIC - percent]]}
    return {**_FLAG, "targeting": {"if": [{"var": "targetingKey"}, share, "on"]}}


class FlagdSync:
    """Switches features by changing the flags that this runbook serves."""

    def __init__(self, killed: KilledFeatures, board: FlagBoard) -> None:
        self._killed = killed
        self._board = board

    async def plan(self, plan: Plan) -> Change:
        """Return how the features are served, and how they would be."""
        if not plan.kind.is_on_serving:
            raise ActuatorRefused(f"flags carry out kill-switches and masks, not {plan.kind}")
        return Change(await self.observe(plan), plan.target)

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Record the kill and push it to every subscriber."""
        try:
            await self._killed.switch(key, plan.model, change)
            await self._board.refresh()
        except StoreUnavailable as error:
            raise ActuatorUnavailable(str(error)) from error

    async def observe(self, plan: Plan) -> Settings:
        """Return how the features are served."""
        try:
            every = await self._killed.read()
        except StoreUnavailable as error:
            raise ActuatorUnavailable(str(error)) from error
        ours = {f: kill for (model, f), kill in every.items() if model == plan.model}
        return settings_of(plan.target, ours)

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Record the end of the kill and push it to every subscriber."""
        try:
            await self._killed.restore(key, plan.model, change)
            await self._board.refresh()
        except StoreUnavailable as error:
            raise ActuatorUnavailable(str(error)) from error

    async def expose(
        self,
        key: str,
        plan: Plan,  # noqa: ARG002 - the key knows its features
        percent: int,
        step: int,
    ) -> None:
        """Record the share of traffic and push it to every subscriber."""
        try:
            await self._killed.expose(key, percent, step)
            await self._board.refresh()
        except StoreUnavailable as error:
            raise ActuatorUnavailable(str(error)) from error
