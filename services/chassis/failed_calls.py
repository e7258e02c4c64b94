"""What another service says of a call that failed."""

from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

_DETAILS = "grpc-status-details-bin"
_Detail = TypeVar("_Detail", bound=Message)


def status_in(error: grpc.aio.AioRpcError) -> Status:
    """Return a call's status with its details."""
    for key, value in error.trailing_metadata():
        if key == _DETAILS and isinstance(value, bytes):
            return Status.FromString(value)
    code: int = error.code().value[0]
    return Status(code=code, message=error.details() or "")


def reason_in(status: Status) -> str:
    """Return the name of the ErrorReason; empty: it has none."""
    info = _detail(status, ErrorInfo())
    return info.reason if info else ""


def field_in(status: Status) -> str:
    """Return the path of the first field at fault; empty: none is."""
    request = _detail(status, BadRequest())
    return request.field_violations[0].field if request and request.field_violations else ""


def retry_delay_in(status: Status) -> float | None:
    """Return after how many seconds the service wants to be asked again; None: it does not say."""
    info = _detail(status, RetryInfo())
    return float(info.retry_delay.ToTimedelta().total_seconds()) if info else None


def _detail(status: Status, detail: _Detail) -> _Detail | None:
    return detail if any(one.Unpack(detail) for one in status.details) else None
