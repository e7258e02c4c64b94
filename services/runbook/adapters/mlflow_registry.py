"""MLflow's model registry, by its REST API."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from services.runbook.domain.errors import (
    ActuatorRefused,
    ActuatorUnavailable,
    RegistryUnavailable,
)
from services.runbook.domain.rollback import Registered, RegisteredCheckpoint

TRAINED_UNTIL = "trained_until"
"""Tag of a model version: a time with a zone, as ISO 8601."""
DIGEST = "checkpoint_digest"
"""Tag of a model version: of its checkpoint as `aftershock checkpoints` shows it."""
_API = "/api/2.0/mlflow"
_PAGE = 200
_LAST_REFUSAL = 500
_TRY_AGAIN = frozenset({408, 425, 429})


class MlflowRegistry:
    """Models by their id, and the alias by which servers find the version to serve."""

    def __init__(self, http: httpx.AsyncClient, alias: str) -> None:
        """Take a client with the server's base URL, credentials and a timeout."""
        self._http = http
        self.alias = alias

    async def registered(self, model: str) -> Registered:
        """Return the model's versions and the served one. Raises RegistryUnavailable."""
        try:
            serving = await self.serving(model)
            return Registered(serving, tuple(await self._versions(model)))
        except (ActuatorRefused, ActuatorUnavailable) as error:
            raise RegistryUnavailable(str(error)) from error

    async def serving(self, model: str) -> str:
        """Return the version that the alias names. Raises ActuatorRefused, ActuatorUnavailable."""
        asked = {"name": _name(model), "alias": self.alias}
        answer = await self._ask("GET", "/registered-models/alias", params=asked)
        return str(answer["model_version"]["version"])

    async def serve(self, model: str, version: str) -> None:
        """Let the alias name a version. Raises ActuatorRefused, ActuatorUnavailable."""
        wanted = {"name": _name(model), "alias": self.alias, "version": version}
        await self._ask("POST", "/registered-models/alias", json=wanted)

    async def has(self, model: str, version: str) -> bool:
        """Whether the model has the version. Raises ActuatorRefused, ActuatorUnavailable."""
        return any(known.version == version for known in await self._versions(model))

    async def note(self, model: str, key: str) -> str:
        """Return what was noted under the key; empty if nothing was."""
        answer = await self._ask("GET", "/registered-models/get", params={"name": _name(model)})
        tags = answer["registered_model"].get("tags", [])
        return next((str(tag["value"]) for tag in tags if tag["key"] == _tag(key)), "")

    async def write_note(self, model: str, key: str, text: str) -> None:
        """Note something under the key, where people who look at the model see it."""
        wanted = {"name": _name(model), "key": _tag(key), "value": text}
        await self._ask("POST", "/registered-models/set-tag", json=wanted)

    async def _versions(self, model: str) -> list[RegisteredCheckpoint]:
        found: list[RegisteredCheckpoint] = []
        name = _name(model).replace("'", "''")
        asked = {"filter": f"name='{name}'", "max_results": str(_PAGE)}
        while True:
            page = await self._ask("GET", "/model-versions/search", params=asked)
            found.extend(_checkpoint(version) for version in page.get("model_versions", []))
            if not page.get("next_page_token"):
                return found
            asked["page_token"] = page["next_page_token"]

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, f"{_API}{path}", params=params, json=json)
        except httpx.HTTPError as error:
            raise ActuatorUnavailable(f"MLflow does not answer: {error!r}") from error
        if answer.is_success:
            content: dict[str, Any] = answer.json()
            return content
        said = f"MLflow answers {answer.status_code} to {path}: {answer.text[:300]}"
        if answer.status_code in _TRY_AGAIN or answer.status_code >= _LAST_REFUSAL:
            raise ActuatorUnavailable(said)
        raise ActuatorRefused(said)


def _name(model: str) -> str:
    return model.removeprefix("models/")


def _tag(key: str) -> str:
    return f"aftershock/{key}"


def _checkpoint(version: Mapping[str, Any]) -> RegisteredCheckpoint:
    tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
    return RegisteredCheckpoint(
        version=str(version["version"]),
        trained_until=_time(tags.get(TRAINED_UNTIL, "")),
        digest=tags.get(DIGEST, ""),
    )


def _time(text: str) -> datetime | None:
    """Return the time; None where the tag is absent, no time, or without a zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else None
