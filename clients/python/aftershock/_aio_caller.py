"""Calls methods of the services from an event loop."""

import asyncio
import time
from collections.abc import AsyncGenerator
from copy import copy
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from aftershock._base import BaseClient
from aftershock._calls import Call, Flow, Result
from aftershock._channel import Channels, on_behalf_of, open_aio_channel, open_channel
from aftershock._errors import ServiceError, error_of_call, pause_before_retry
from aftershock._methods import Answer


class AioCaller(BaseClient):
    """Holds the connections and drives operations on them."""

    @cached_property
    def _channels(self) -> Channels[grpc.aio.Channel]:
        return Channels(self._endpoints, open_aio_channel)

    @cached_property
    def _blocking_channels(self) -> Channels[grpc.Channel]:
        return Channels(self._endpoints, open_channel)

    def acting_for(self, identity: str) -> Self:
        """Return a client that speaks for somebody. See aftershock.Client.acting_for."""
        acting = copy(self)
        acting.__dict__["_channels"] = self._channels
        acting._metadata = (*self._metadata, on_behalf_of(identity))
        return acting

    async def close(self) -> None:
        """Close the connections: nothing can be called any more."""
        for channel in self._channels.drain():
            await channel.close()
        for blocking in self._blocking_channels.drain():
            blocking.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[Result]) -> Result:
        try:
            call = next(flow)
            while True:
                try:
                    answer = await self._answer(call)
                except ServiceError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def _answer(self, call: Call[Any, Answer]) -> Answer:
        method = call.method
        deadline = time.monotonic() + max(self._timeout, method.least_timeout)
        channel = self._channels.to(method.service)
        stub = channel.unary_unary(method.path, method.serialize, method.answer.FromString)
        while True:
            left = deadline - time.monotonic()
            try:
                return await stub(call.request, timeout=left, metadata=self._metadata)
            except grpc.RpcError as error:
                failure = error_of_call(error, self._channels.describe(method.service))
            pause = pause_before_retry(failure, deadline - time.monotonic())
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    async def _stream(self, call: Call[Any, Answer]) -> AsyncGenerator[Answer]:
        method = call.method
        channel = self._channels.to(method.service)
        stub = channel.unary_stream(method.path, method.serialize, method.answer.FromString)
        stream = stub(call.request, metadata=self._metadata)
        try:
            async for answer in stream:
                yield answer
        except grpc.RpcError as error:
            raise error_of_call(error, self._channels.describe(method.service)) from None
        finally:
            stream.cancel()
