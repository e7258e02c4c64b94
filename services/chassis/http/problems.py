"""From exceptions to problem details (RFC 9457), by the table that gRPC's statuses come from."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from services.chassis.errors import ErrorTable, status_of

CONTENT_TYPE = "application/problem+json"
_Detail = TypeVar("_Detail", bound=Message)
_STATUSES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def problem_of(error: Exception, table: ErrorTable) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what callers see of `error`: the problem and the headers that go with it.

    `status` is HTTP's, `reason` the contract's ErrorReason, `errors` lists each field at fault by
    its path. Retry-After, in whole seconds, goes with what can be tried again.
    """
    status = status_of(error, table)
    code = _CODES[status.code]
    problem: dict[str, Any] = {
        "title": code.name.replace("_", " ").capitalize(),
        "status": _STATUSES.get(code, 500),
        "detail": status.message,
    }
    if info := _detail(status, ErrorInfo):
        problem["reason"] = info.reason
    if bad := _detail(status, BadRequest):
        problem["errors"] = [
            {"field": violation.field, "detail": violation.description}
            for violation in bad.field_violations
        ]
    headers = {}
    if retry := _detail(status, RetryInfo):
        seconds = retry.retry_delay.ToTimedelta().total_seconds()
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return problem, headers


def _detail(status: Status, kind: type[_Detail]) -> _Detail | None:
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            return message
    return None
