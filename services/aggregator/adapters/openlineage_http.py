"""OpenLineage over HTTP: what existing integrations send, and what existing tools ask for."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from services.aggregator.adapters.metrics import OPENLINEAGE_EVENTS
from services.aggregator.adapters.openlineage_events import observation_of
from services.aggregator.domain.errors import AheadOfTime
from services.aggregator.domain.horizon import Horizon
from services.aggregator.domain.lineage.schema import Observation
from services.aggregator.observe import Observe
from services.chassis.errors import InvalidRequest
from services.chassis.http.server import Route
from services.chassis.tokens import Role

_MOST_EVENTS = 1_000
_MOST_PROBLEMS = 100

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_Parse = Callable[[bytes, Horizon], list[Observation]]


@dataclass(frozen=True)
class OpenLineageHttp:
    """Takes events, one or many a request.

    A request is answered 201 once all its events are recorded, and counts once however often it is
    sent. Of a batch that holds a bad event nothing is recorded, and each bad one is named.
    """

    observe: Observe

    def routes(self) -> Sequence[Route]:
        """Return what is answered, to whom."""
        return (
            Route("POST", "/api/v1/lineage", Role.PIPELINE, self.take_event),
            Route("POST", "/api/v1/lineage/batch", Role.PIPELINE, self.take_batch),
        )

    async def take_event(self, request: web.Request) -> web.Response:
        """Record one event."""
        return await self._record(await request.read(), _one)

    async def take_batch(self, request: web.Request) -> web.Response:
        """Record a JSON array of events, in its order."""
        return await self._record(await request.read(), _many)

    async def _record(self, body: bytes, parse: _Parse) -> web.Response:
        try:
            # Megabytes of JSON take a while: other calls go on meanwhile.
            observations = await asyncio.to_thread(parse, body, self.observe.horizon)
        except InvalidRequest:
            OPENLINEAGE_EVENTS.labels("refused").inc()
            raise
        duplicates = 0
        for observation in observations:
            is_new = await self.observe(observation)
            OPENLINEAGE_EVENTS.labels("recorded" if is_new else "duplicate").inc()
            duplicates += not is_new
        return web.json_response(
            {"events": len(observations), "duplicates": duplicates}, status=201
        )


def _one(body: bytes, horizon: Horizon) -> list[Observation]:
    return [_observation(_json(body), "", horizon)]


def _many(body: bytes, horizon: Horizon) -> list[Observation]:
    content = _json(body)
    if not isinstance(content, list) or len(content) > _MOST_EVENTS:
        raise InvalidRequest([("", f"a batch is a JSON array of at most {_MOST_EVENTS} events")])
    observations: list[Observation] = []
    problems: list[tuple[str, str]] = []
    for number, item in enumerate(content):
        try:
            observations.append(_observation(item, f"[{number}]", horizon))
        except InvalidRequest as error:
            problems.extend(error.violations)
    if problems:
        raise InvalidRequest(problems[:_MOST_PROBLEMS])
    return observations


def _observation(content: object, path: str, horizon: Horizon) -> Observation:
    observation = observation_of(content, path)
    field = f"{path}.eventTime".lstrip(".")
    try:
        horizon.check(observation.facts.time, field)
    except AheadOfTime as error:
        raise InvalidRequest([(field, str(error))]) from error
    return observation


def _json(body: bytes) -> Any:
    try:
        content = json.loads(body)
        if _SURROGATE.search(body):
            # Half a character can be written in JSON, and in nothing that it would be kept in.
            content = json.loads(json.dumps(content, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest([("", f"the body is not JSON: {error}")]) from error
    return content
