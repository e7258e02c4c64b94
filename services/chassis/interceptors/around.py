"""The seam of all interceptors: run something about a call, whatever its arity."""

from __future__ import annotations  # gRPC's classes are generic to type checkers only

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import grpc

OWN_PREFIX = "/aftershock.v1."


@dataclass(frozen=True)
class Call:
    """One call under way."""

    method: str
    """Full name, `/package.Service/Method`."""
    context: grpc.aio.ServicerContext[Any, Any]
    streams_requests: bool
    streams_responses: bool

    @property
    def is_own(self) -> bool:
        """Whether the method belongs to the contract, not to health, reflection or flagd."""
        return self.method.startswith(OWN_PREFIX)

    @property
    def is_unary(self) -> bool:
        """Whether the call takes one request and gives one response."""
        return not (self.streams_requests or self.streams_responses)


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """Runs `around` about each call and `on_request` on each request message."""

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Return the context manager that the whole call runs in."""
        raise NotImplementedError

    def on_request(self, call: Call, request: Any) -> None:
        """Look at a request message before the handler does. May raise."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        # None stands for an unknown method, which gRPC answers itself.
        return _wrap(self, str(handler_call_details.method), handler) if handler else None


def _wrap(
    interceptor: AroundInterceptor, method: str, handler: Any
) -> grpc.RpcMethodHandler[Any, Any]:
    requests, responses = handler.request_streaming, handler.response_streaming
    kind = f"{'stream' if requests else 'unary'}_{'stream' if responses else 'unary'}"
    behaviour = getattr(handler, kind)

    def call_of(context: Any) -> Call:
        return Call(method, context, requests, responses)

    def seen(call: Call, request: Any) -> Any:
        if requests:
            return _watched(interceptor, call, request)
        interceptor.on_request(call, request)
        return request

    async def answer(request: Any, context: Any) -> Any:
        call = call_of(context)
        async with interceptor.around(call):
            return await behaviour(seen(call, request), context)

    async def generate(request: Any, context: Any) -> AsyncIterator[Any]:
        call = call_of(context)
        async with interceptor.around(call):
            async for response in behaviour(seen(call, request), context):
                yield response

    wrapped = generate if inspect.isasyncgenfunction(behaviour) else answer
    factory = getattr(grpc, f"{kind}_rpc_method_handler")
    result: grpc.RpcMethodHandler[Any, Any] = factory(
        wrapped,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return result


async def _watched(
    interceptor: AroundInterceptor, call: Call, requests: AsyncIterator[Any]
) -> AsyncIterator[Any]:
    async for request in requests:
        interceptor.on_request(call, request)
        yield request
