"""Calls methods of the services and waits for their answers."""

import time
from collections.abc import Iterator
from copy import copy
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import grpc

from aftershock._base import BaseClient
from aftershock._calls import Call, Flow, Result
from aftershock._channel import Channels, on_behalf_of, open_channel
from aftershock._errors import ServiceError, error_of_call, pause_before_retry
from aftershock._methods import Answer


class Caller(BaseClient):
    """Holds the connections and drives operations on them."""

    @cached_property
    def _channels(self) -> Channels[grpc.Channel]:
        return Channels(self._endpoints, open_channel)

    def acting_for(self, identity: str) -> Self:
        """Return a client that speaks for somebody, over the same connections: close this one only.

        The caller needs the role `delegate`; the service knows from its roster who that is and what
        they may do.

        Args:
            identity: how a chat system knows them, `slack:T012AB/U034CD`.
        """
        acting = copy(self)
        acting.__dict__["_channels"] = self._channels
        acting._metadata = (*self._metadata, on_behalf_of(identity))
        return acting

    def close(self) -> None:
        """Close the connections: what is watched ends, and nothing can be called any more."""
        for channel in self._channels.drain():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, flow: Flow[Result]) -> Result:
        try:
            call = next(flow)
            while True:
                try:
                    answer = self._answer(call)
                except ServiceError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    def _answer(self, call: Call[Any, Answer]) -> Answer:
        method = call.method
        deadline = time.monotonic() + max(self._timeout, method.least_timeout)
        channel = self._channels.to(method.service)
        stub = channel.unary_unary(method.path, method.serialize, method.answer.FromString)
        while True:
            left = deadline - time.monotonic()
            try:
                return stub(call.request, timeout=left, metadata=self._metadata)
            except grpc.RpcError as error:
                failure = error_of_call(error, self._channels.describe(method.service))
            pause = pause_before_retry(failure, deadline - time.monotonic())
            if pause is None:
                raise failure
            time.sleep(pause)

    def _stream(self, call: Call[Any, Answer]) -> Iterator[Answer]:
        method = call.method
        channel = self._channels.to(method.service)
        stub = channel.unary_stream(method.path, method.serialize, method.answer.FromString)
        stream = stub(call.request, metadata=self._metadata)
        try:
            yield from stream
        except grpc.RpcError as error:
            raise error_of_call(error, self._channels.describe(method.service)) from None
        finally:
            stream.cancel()
