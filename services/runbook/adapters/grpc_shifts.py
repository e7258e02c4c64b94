"""Follows the aggregator's stream of shifts."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import grpc

from aftershock.v1.aggregator_service_pb2 import WatchShiftsRequest
from aftershock.v1.aggregator_service_pb2_grpc import AggregatorServiceStub
from services.runbook.adapters.grpc_evidence_messages import event_from
from services.runbook.domain.evidence import ShiftEvent

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0


class GrpcShiftFeed:
    """Resumes after the last event that was consumed, whenever the stream breaks."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = AggregatorServiceStub(channel)
        self._metadata = metadata

    async def events(self, cursors: Mapping[str, str]) -> AsyncGenerator[ShiftEvent, None]:
        """Yield events after the cursors, by model, without end."""
        consumed = dict(cursors)
        pause = _FIRST_PAUSE
        while True:
            call = self._stub.WatchShifts(
                WatchShiftsRequest(cursors=consumed), metadata=self._metadata
            )
            try:
                async for response in call:
                    pause = _FIRST_PAUSE
                    event = _read(response.event)
                    if event is not None:
                        yield event
                    consumed[response.event.model] = response.event.cursor
            except grpc.aio.AioRpcError as error:
                _log.warning("no shifts: %s %s", error.code().name, error.details())
            finally:
                call.cancel()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _read(message: Any) -> ShiftEvent | None:
    try:
        return event_from(message)
    except ValueError as error:
        # Waiting for it to become readable would stop every later event too.
        _log.error("skipped a shift event that breaks the contract: %s", error)
        return None
