"""Who calls, and may they?"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar

from services.chassis.errors import Forbidden
from services.chassis.interceptors.around import AroundInterceptor, Call
from services.chassis.tokens import Principal, Role, identify

AccessTable = Mapping[str, Role]
"""The role that each method of a service demands, by full method name."""

_principal: ContextVar[Principal] = ContextVar("principal")


def current_principal() -> Principal:
    """Return the caller of the method that is being handled."""
    return _principal.get()


class AuthInterceptor(AroundInterceptor):
    """Identifies the caller by bearer token and checks the method's role.

    A method of the contract that the table leaves out is refused to all.
    """

    def __init__(self, public_key: bytes | None, access: AccessTable) -> None:
        self._public_key = public_key
        self._access = access

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Let the call through or raise."""
        if call.is_own:
            self._authorise(call)
        yield

    def _authorise(self, call: Call) -> None:
        principal = self._identify(call)
        role = self._access.get(call.method)
        if role is None or not principal.holds(role):
            wanted = f"the role {role}" if role else "an entry in the access table"
            raise Forbidden(f"{principal.name} may not call {call.method}: it takes {wanted}")
        # Set without a reset: gRPC runs each call in a context of its own.
        _principal.set(principal)

    def _identify(self, call: Call) -> Principal:
        metadata = call.context.invocation_metadata() or ()
        sent = (str(value) for key, value in metadata if key == "authorization")
        return identify(self._public_key, next(sent, None))
