"""What the audit makes of attribution's errors."""

from dataclasses import dataclass

import grpc

from aftershock.v1.error_reason_pb2 import ErrorReason
from services.audit.domain.errors import PartnerFailed, PartnerRefused, PartnerUnavailable
from services.chassis.failed_calls import field_in, reason_in, retry_delay_in, status_in

_NOT_FOUND = ErrorReason.Name(ErrorReason.ERROR_REASON_CHECKPOINT_NOT_FOUND)
_SLOW = "ask about fewer examples, or wait for it longer: AFTERSHOCK_AUDIT_ATTRIBUTION_SECONDS"
_AWAY = "start the audit again when attribution is there and has time"
_TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # A server that goes away in the middle of a call cancels it.
        grpc.StatusCode.CANCELLED,
    }
)
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)


@dataclass(frozen=True)
class Asked:
    """What attribution was asked."""

    test: str
    """Its field among the parameters."""
    checkpoint: str
    is_clean: bool = False
    """It is the one that never saw the trigger."""


def partner_error(asked: Asked, error: grpc.aio.AioRpcError) -> PartnerFailed:
    """Return what went wrong, with the parameter at fault."""
    status, at = status_in(error), f"parameters.{asked.test}"
    said = f"{asked.checkpoint}: attribution says {error.code().name}: {status.message}"
    if error.code() in _TRANSIENT:
        is_slow = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return PartnerUnavailable(
            f"{said}; {_SLOW if is_slow else _AWAY}", at, retry_delay_in(status)
        )
    if error.code() not in _REFUSALS:
        return PartnerFailed(said, at)
    name = _parameter(field_in(status), reason_in(status), asked)
    return PartnerRefused(said, f"{at}.{name}" if name else at)


def _parameter(field: str, reason: str, asked: Asked) -> str:
    """Return the name of the parameter that a field of attribution's request comes from."""
    name = field.partition(".")[0].partition("[")[0]
    if reason == _NOT_FOUND or name == "checkpoint":
        return "clean_checkpoint" if asked.is_clean else "checkpoint"
    return "examples_file" if name in ("arrow_stream", "arrow_streams") else name
