"""What callers see of the audit's errors."""

import grpc

from aftershock.v1.error_reason_pb2 import ErrorReason
from services.audit.domain import errors
from services.chassis.errors import ErrorStatus, ErrorTable

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

ERRORS: ErrorTable = {
    errors.InvalidParameters: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    errors.MalformedLabels: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_MALFORMED_LABELS),
    errors.NoMultiLabelRows: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_NO_MULTI_LABEL_ROWS),
    errors.MalformedCounts: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_MALFORMED_COUNTS),
    errors.UnknownLabel: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_UNKNOWN_LABEL),
    errors.TooLargeForExact: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_TOO_LARGE_FOR_EXACT),
    errors.SnapshotRefused: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_SNAPSHOT_REFUSED),
    errors.AuditNotFound: ErrorStatus(
        grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_AUDIT_NOT_FOUND
    ),
    errors.AuditNotDone: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_AUDIT_NOT_DONE),
    errors.NoRoom: ErrorStatus(
        grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED
    ),
    errors.CannotKeep: ErrorStatus(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
    errors.PartnerRefused: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    errors.PartnerUnavailable: ErrorStatus(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
    errors.PartnerFailed: ErrorStatus(
        _PRECONDITION, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
    errors.AuditError: ErrorStatus(grpc.StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL),
}
