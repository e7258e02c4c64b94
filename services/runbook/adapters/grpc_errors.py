"""What callers see of the runbook's errors."""

import grpc

from aftershock.v1.error_reason_pb2 import ErrorReason
from services.chassis.errors import ErrorStatus, ErrorTable
from services.runbook.domain.errors import (
    AnchorsUnavailable,
    DecisionRefused,
    GuardRailRefused,
    IncidentNotFound,
    InvalidPageToken,
    InvalidPolicy,
    InvalidTransition,
    MitigationNotFound,
    MitigationsPaused,
    NotAnApprover,
    StalePlan,
    StoreUnavailable,
    SurfaceBusy,
    SurfaceChanged,
)

ERRORS: ErrorTable = {
    IncidentNotFound: ErrorStatus(
        grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_INCIDENT_NOT_FOUND
    ),
    MitigationNotFound: ErrorStatus(
        grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_MITIGATION_NOT_FOUND
    ),
    InvalidPolicy: ErrorStatus(
        grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_INVALID_REQUEST
    ),
    InvalidPageToken: ErrorStatus(
        grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_INVALID_REQUEST
    ),
    InvalidTransition: ErrorStatus(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_INVALID_TRANSITION
    ),
    DecisionRefused: ErrorStatus(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_INVALID_TRANSITION
    ),
    StalePlan: ErrorStatus(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STALE_PLAN
    ),
    NotAnApprover: ErrorStatus(
        grpc.StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_NOT_AN_APPROVER
    ),
    MitigationsPaused: ErrorStatus(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_MITIGATIONS_PAUSED
    ),
    GuardRailRefused: ErrorStatus(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_GUARD_RAIL
    ),
    SurfaceBusy: ErrorStatus(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_SURFACE_BUSY
    ),
    SurfaceChanged: ErrorStatus(grpc.StatusCode.ABORTED, ErrorReason.ERROR_REASON_SURFACE_CHANGED),
    AnchorsUnavailable: ErrorStatus(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
    StoreUnavailable: ErrorStatus(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
}
