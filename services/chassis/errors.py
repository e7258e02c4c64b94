"""From a domain's plain exceptions to canonical statuses with google.rpc details."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from aftershock.v1.error_reason_pb2 import ErrorReason

DOMAIN = "aftershock.v1"


@dataclass(frozen=True)
class ErrorStatus:
    """What callers see of one class of exceptions."""

    code: grpc.StatusCode
    reason: ErrorReason.ValueType


ErrorTable = Mapping[type[Exception], ErrorStatus]
"""Statuses by exception class; a subclass without an entry takes its nearest base's.

An exception's text is shown to the caller: it says what is wrong and what to do. An exception may
carry `field`, the path of the request field at fault, and `retry_after`, seconds.
"""


class InvalidRequest(Exception):
    """The request breaks rules of the contract."""

    def __init__(self, violations: Iterable[tuple[str, str]]) -> None:
        self.violations = list(violations)
        told = (f"{field}: {text}" if field else text for field, text in self.violations)
        super().__init__("; ".join(told))


class DeadlineRequired(Exception):
    """The call carries no deadline."""


class Unauthenticated(Exception):
    """The caller cannot be identified."""


class Forbidden(Exception):
    """The caller may not call this method."""


class UnknownPerson(Exception):
    """A delegate speaks for somebody whom the roster does not have."""


class DependencyUnavailable(Exception):
    """Something that the service needs cannot be reached just now."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(Exception):
    """The service has as much work as it takes on."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


COMMON_ERRORS: ErrorTable = {
    InvalidRequest: ErrorStatus(
        grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_INVALID_REQUEST
    ),
    DeadlineRequired: ErrorStatus(
        grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_DEADLINE_REQUIRED
    ),
    Unauthenticated: ErrorStatus(
        grpc.StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_UNAUTHENTICATED
    ),
    UnknownPerson: ErrorStatus(
        grpc.StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_UNKNOWN_PERSON
    ),
    Forbidden: ErrorStatus(grpc.StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_FORBIDDEN),
    DependencyUnavailable: ErrorStatus(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
    Overloaded: ErrorStatus(
        grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED
    ),
}

_INTERNAL = ErrorStatus(grpc.StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL)


def is_expected(error: Exception, table: ErrorTable) -> bool:
    """Whether the table or the common errors say what callers see of `error`."""
    return _lookup(error, table) is not None


def status_of(error: Exception, table: ErrorTable) -> Status:
    """Return the canonical status of `error` with ErrorInfo, BadRequest and RetryInfo details.

    An exception that neither the table nor the common errors know is INTERNAL, and its text, which
    was not written for callers, stays in the log.
    """
    known = _lookup(error, table)
    entry = known or _INTERNAL
    message = str(error) if known else "internal error; the server's log has the details"
    code: int = entry.code.value[0]
    status = Status(code=code, message=message)
    status.details.add().Pack(ErrorInfo(reason=ErrorReason.Name(entry.reason), domain=DOMAIN))
    violations = _violations(error)
    if known and violations:
        details = BadRequest()
        for field, text in violations:
            details.field_violations.add(field=field, description=text)
        status.details.add().Pack(details)
    retry_after: float | None = getattr(error, "retry_after", None)
    if known and retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(retry_after * 1e9))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


def _lookup(error: Exception, table: ErrorTable) -> ErrorStatus | None:
    for cls in type(error).__mro__:
        entry = table.get(cls) or COMMON_ERRORS.get(cls)
        if entry is not None:
            return entry
    return None


def _violations(error: Exception) -> list[tuple[str, str]]:
    if isinstance(error, InvalidRequest):
        return error.violations
    field: str | None = getattr(error, "field", None)
    return [(field, str(error))] if field else []
