"""Everything that the SDK raises.

AftershockError
├── ConfigurationError      an address, a file or an extra is missing, or the client is closed
├── InvalidExamples         a batch cannot be encoded; nothing of it was sent
├── InvalidLineageFile      a lineage file cannot be followed; nothing of it was sent
└── ServiceError            a service refused, failed or could not be reached
    ├── InvalidRequest      a field breaks a rule; `violations` names it
    │   └── SchemaMismatch  the examples do not fit the checkpoint's schema
    ├── NotFound            no such model, checkpoint, window, incident or mitigation
    ├── NotAllowed          no valid token, or one without the role
    ├── Conflict            the state of things forbids it: a stale plan, a closed window
    ├── Unavailable         not just now; the same call may succeed later
    │   ├── Overloaded      the service has as much work as it takes on
    │   └── DeadlineExceeded
    └── ServerFailure       a fault of the service; its log has the details
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

_DETAILS_KEY = "grpc-status-details-bin"
_REASON_PREFIX = "ERROR_REASON_"
_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class AftershockError(Exception):
    """Base of everything that the SDK raises."""


class ConfigurationError(AftershockError):
    """An address, a file or an extra is missing, or the client is closed. Nothing was sent."""


class InvalidExamples(AftershockError, ValueError):
    """A batch cannot be encoded. Nothing of it was sent."""


class InvalidLineageFile(AftershockError, ValueError):
    """A lineage file cannot be followed. Nothing of it was sent."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        """File, line, path and what is wrong there, each."""
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Violation:
    """A field of the request and what is wrong with it."""

    field: str
    description: str


class ServiceError(AftershockError):
    """A service refused, failed or could not be reached. Its text says what to do."""

    def __init__(
        self,
        message: str,
        *,
        code: str = grpc.StatusCode.UNKNOWN.name,
        reason: str = "",
        violations: Iterable[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        """Canonical gRPC status, such as NOT_FOUND."""
        self.reason = reason
        """The contract's ErrorReason without its prefix, such as WRONG_DATA_TYPE, or empty."""
        self.violations = tuple(violations)
        self.retry_after = retry_after
        """Seconds after which the service says to try again, if it does."""


class InvalidRequest(ServiceError):
    """A field breaks a rule of the contract."""


class SchemaMismatch(InvalidRequest):
    """The examples do not fit the checkpoint's schema."""


class NotFound(ServiceError):
    """No such model, checkpoint, window, incident or mitigation."""


class NotAllowed(ServiceError):
    """No valid token, or one without the role that the call takes."""


class Conflict(ServiceError):
    """The state of things forbids it."""


class Unavailable(ServiceError):
    """Not just now. The same call may succeed later."""


class Overloaded(Unavailable):
    """The service has as much work as it takes on."""


class DeadlineExceeded(Unavailable):
    """No answer in time."""


class ServerFailure(ServiceError):
    """A fault of the service. Its log has the details."""


_CLASSES: Mapping[grpc.StatusCode, type[ServiceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: NotAllowed,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    # A server that goes away in the middle of a call cancels it.
    grpc.StatusCode.CANCELLED: Unavailable,
}
_SCHEMA_REASONS = frozenset(
    {"UNKNOWN_FEATURE", "MISSING_FEATURE", "WRONG_DATA_TYPE", "MALFORMED_ARROW"}
)
_ADVICE: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.UNAVAILABLE: "cannot be reached: is it running there, with or without TLS?",
    grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time: try again or raise the timeout",
}


def error_of(status: Status) -> ServiceError:
    """Return the exception that a canonical status stands for."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info, request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for message in (info, request, retry):
            detail.Unpack(message)
    reason = info.reason.removeprefix(_REASON_PREFIX)
    cls = SchemaMismatch if reason in _SCHEMA_REASONS else _CLASSES.get(code, ServerFailure)
    return cls(
        status.message,
        code=code.name,
        reason=reason,
        violations=[Violation(v.field, v.description) for v in request.field_violations],
        retry_after=retry.retry_delay.ToNanoseconds() / 1e9
        if retry.HasField("retry_delay")
        else None,
    )


def error_of_call(error: Any, callee: str) -> ServiceError:
    """Return the exception that a failed call to `callee` stands for.

    Args:
        error: the grpc.RpcError of a call, sync or async.
        callee: the service and its address, for people.
    """
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            return error_of(Status.FromString(value))
    code: grpc.StatusCode = error.code()
    details: str = error.details() or code.name
    advice = _ADVICE.get(code)
    message = f"the {callee} {advice} ({details})" if advice else f"the {callee}: {details}"
    return error_of(Status(code=code.value[0], message=message))


def pause_before_retry(error: ServiceError, remaining: float) -> float | None:
    """Return how long to wait before the same call again, or None where that is no use.

    Only what a service asks for: UNAVAILABLE is retried by the channel's service config already.
    """
    if not isinstance(error, Overloaded) or error.retry_after is None:
        return None
    return error.retry_after if error.retry_after < remaining else None
