"""Mitigations by a signed webhook, for whatever has no actuator of its own.

The receiver keeps what is in force, and answers these messages with HTTP 2xx:

- `mitigation.observe`: what is in force now, by lever, as `{"settings": {...}}`;
- `mitigation.apply`: put `target` in force if `previous` is, once a `key`; 409 where something else
  is in force or the key was reverted;
- `mitigation.revert`: put `previous` back where `key` put `target` in force; refuse the key from
  now on;
- `mitigation.expose`, of a kill-switch or a mask: serve to `percent` of traffic what `key` switched
  off, unless a later `step` of it was carried out.

A message that is sent again has the same `webhook-id`. What is done once is done once a `key`: an
answer that is kept by `webhook-id` alone would take a reverted key for one in force.
"""

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.runbook.adapters.standard_webhook import (
    StandardWebhook,
    WebhookRefused,
    WebhookUnavailable,
)
from services.runbook.domain.errors import ActuatorConflict, ActuatorRefused, ActuatorUnavailable
from services.runbook.domain.plan import CHECKPOINT, Change, Plan, Settings

_CONFLICT = 409


class Webhook:
    """Has somebody else carry mitigations out."""

    def __init__(self, endpoint: StandardWebhook) -> None:
        self._endpoint = endpoint

    async def plan(self, plan: Plan) -> Change:
        """Return what is in force and what would be."""
        target = plan.target
        found = await self.observe(plan)
        if plan.replaces and found.get(CHECKPOINT) != plan.replaces:
            raise ActuatorConflict(f"checkpoint {found.get(CHECKPOINT)} is served by now")
        if found.keys() != target.keys():
            raise ActuatorRefused(f"the receiver has {sorted(found)}, not {sorted(target)}")
        return Change(found, target)

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Have the target put in force."""
        await self._send(f"{key}/apply", "mitigation.apply", _told(plan, key, change))

    async def observe(self, plan: Plan) -> Settings:
        """Ask what is in force."""
        answer = await self._send(uuid.uuid4().hex, "mitigation.observe", _told(plan))
        settings = answer.get("settings")
        if not isinstance(settings, dict):
            raise ActuatorUnavailable("the receiver answers without settings")
        return {str(lever): str(setting) for lever, setting in settings.items()}

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Have what was there put back."""
        try:
            await self._send(f"{key}/revert", "mitigation.revert", _told(plan, key, change))
        except (ActuatorConflict, ActuatorRefused) as error:
            raise ActuatorUnavailable(str(error)) from error

    async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
        """Have a share of traffic served again."""
        told = {**_told(plan), "key": key, "percent": percent, "step": step}
        try:
            await self._send(f"{key}/expose/{step}", "mitigation.expose", told)
        except (ActuatorConflict, ActuatorRefused) as error:
            raise ActuatorUnavailable(str(error)) from error

    async def _send(self, message_id: str, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self._endpoint.send(message_id, kind, data)
        except WebhookUnavailable as error:
            raise ActuatorUnavailable(str(error)) from error
        except WebhookRefused as error:
            refused = ActuatorConflict if error.status == _CONFLICT else ActuatorRefused
            raise refused(str(error)) from error


def _told(plan: Plan, key: str = "", change: Change | None = None) -> Mapping[str, Any]:
    told: dict[str, Any] = {
        "incident": plan.incident,
        "model": plan.model.removeprefix("models/"),
        "kind": plan.kind.value,
        "features": list(plan.features),
        "checkpoint": plan.checkpoint,
        "labels": [
            {"lever": lever, **asdict(label)}
            for lever, label in zip(plan.target, plan.labels, strict=False)
        ],
    }
    if change is not None:
        told |= {"key": key, "previous": dict(change.previous), "target": dict(change.target)}
    return told
