"""Unary calls must say how long they are willing to wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis.errors import DeadlineRequired
from services.chassis.interceptors.around import AroundInterceptor, Call


class DeadlineInterceptor(AroundInterceptor):
    """Refuses a unary call of the contract that carries no deadline.

    Streams are exempt: a pipeline's or a watcher's stream lives as long as its owner.
    """

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Look before the handler runs."""
        if call.is_own and call.is_unary and call.context.time_remaining() is None:
            raise DeadlineRequired(
                f"{call.method} needs a deadline: set a timeout on the call, in seconds"
            )
        yield
