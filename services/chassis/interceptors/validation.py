"""The contract's own rules, checked before a handler sees a request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import protovalidate

from services.chassis.errors import InvalidRequest
from services.chassis.interceptors.around import AroundInterceptor, Call

_MOST_TOLD = 100
_MOST_SHOWN = 80
"""Characters of a value that has not the form it should have."""


def check(request: Any) -> None:
    """Check a message against the contract's rules.

    Raises:
        InvalidRequest: with the path of each field at fault.
    """
    violations = protovalidate.collect_violations(request)
    if violations:
        raise InvalidRequest(
            (_path(violation), _told(violation)) for violation in violations[:_MOST_TOLD]
        )


class ValidationInterceptor(AroundInterceptor):
    """Refuses unary requests that break a rule.

    Messages of a request stream are the handler's to check: one bad message is answered, and the
    stream goes on.
    """

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:  # noqa: ARG002 - the seam's
        """Leave the call itself alone."""
        yield

    def on_request(self, call: Call, request: Any) -> None:
        """Check a request that comes alone."""
        if call.is_own and not call.streams_requests:
            check(request)


def _told(violation: protovalidate.Violation) -> str:
    if violation.proto.rule_id != "string.pattern":
        return violation.proto.message or violation.proto.rule_id
    form = str(violation.rule_value).removeprefix("^").removesuffix("$")
    return f"{str(violation.field_value)[:_MOST_SHOWN]!r} is not of the form {form}"


def _path(violation: protovalidate.Violation) -> str:
    field = violation.proto.field
    if field is None:
        return ""
    names = []
    for element in field.elements:
        subscript = element.subscript
        index = f"[{subscript.value}]" if subscript else ""
        names.append(element.field_name + index)
    return ".".join(names)
