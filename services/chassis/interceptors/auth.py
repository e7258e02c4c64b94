"""Who calls, and may they?"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar

from services.chassis.errors import Forbidden
from services.chassis.interceptors.around import AroundInterceptor, Call
from services.chassis.roster import Roster
from services.chassis.tokens import Principal, Role, identify

AccessTable = Mapping[str, Role]
"""The role that each method of a service demands, by full method name."""

ON_BEHALF_OF = "aftershock-on-behalf-of"
"""Metadata in which a delegate says whom it speaks for: `slack:T012AB/U034CD`."""
_principal: ContextVar[Principal] = ContextVar("principal")


def current_principal() -> Principal:
    """Return the caller of the method that is being handled."""
    return _principal.get()


class AuthInterceptor(AroundInterceptor):
    """Identifies the caller by bearer token and checks the method's role.

    A method of the contract that the table leaves out is refused to all.

    A caller with the role `delegate` may say whom it speaks for: then that person is the caller,
    with the roles that the roster gives them at that moment.
    """

    def __init__(
        self, public_key: bytes | None, access: AccessTable, roster: Roster | None = None
    ) -> None:
        self._public_key = public_key
        self._access = access
        self._roster = roster

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Let the call through or raise."""
        if call.is_own:
            await self._authorise(call)
        yield

    async def _authorise(self, call: Call) -> None:
        principal = await self._speaking(call, self._identify(call))
        role = self._access.get(call.method)
        if role is None or not principal.holds(role):
            wanted = f"the role {role}" if role else "an entry in the access table"
            raise Forbidden(f"{principal.name} may not call {call.method}: it takes {wanted}")
        # Set without a reset: gRPC runs each call in a context of its own.
        _principal.set(principal)

    async def _speaking(self, call: Call, caller: Principal) -> Principal:
        """Return the person that a delegate speaks for, or the caller."""
        identity = _metadata(call, ON_BEHALF_OF)
        if identity is None:
            return caller
        if Role.DELEGATE not in caller.roles:
            raise Forbidden(f"{caller.name} may not speak for others: it takes the role delegate")
        if self._roster is None:
            raise Forbidden("nobody may be spoken for here: this service has no roster")
        return await asyncio.to_thread(self._roster.person, identity)

    def _identify(self, call: Call) -> Principal:
        return identify(self._public_key, _metadata(call, "authorization"))


def _metadata(call: Call, wanted: str) -> str | None:
    for key, value in call.context.invocation_metadata() or ():
        if key == wanted:
            return str(value)
    return None
