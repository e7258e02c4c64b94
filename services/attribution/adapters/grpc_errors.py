"""What callers see of attribution's errors."""

import logging

import grpc
from google.rpc.status_pb2 import Status

from aftershock.v1.error_reason_pb2 import ErrorReason
from services.attribution.domain import errors
from services.chassis.errors import ErrorStatus, ErrorTable, is_expected, status_of

_log = logging.getLogger(__name__)
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

ERRORS: ErrorTable = {
    errors.UnknownFeature: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_UNKNOWN_FEATURE),
    errors.MissingFeature: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_MISSING_FEATURE),
    errors.WrongDataType: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_WRONG_DATA_TYPE),
    errors.NotFinite: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_NOT_FINITE),
    errors.EmptyBatch: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_EMPTY_BATCH),
    errors.ListTooLong: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_LIST_TOO_LONG),
    errors.IdOutOfRange: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_ID_OUT_OF_RANGE),
    errors.MalformedArrow: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_MALFORMED_ARROW),
    errors.SeenInTraining: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_SEEN_IN_TRAINING),
    errors.CheckpointNotFound: ErrorStatus(
        grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_CHECKPOINT_NOT_FOUND
    ),
    errors.CheckpointRefused: ErrorStatus(
        _PRECONDITION, ErrorReason.ERROR_REASON_CHECKPOINT_REFUSED
    ),
    errors.UnknownLayer: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_UNKNOWN_LAYER),
    errors.UnknownClass: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_UNKNOWN_CLASS),
    errors.SeveralClasses: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_SEVERAL_CLASSES),
    errors.NoSaliency: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_NO_SALIENCY),
    errors.NoRoom: ErrorStatus(
        grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED
    ),
    errors.Abandoned: ErrorStatus(grpc.StatusCode.CANCELLED, ErrorReason.ERROR_REASON_UNSPECIFIED),
    errors.DeliveryRefused: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_MALFORMED_BLOCK),
    errors.DeliveryUnavailable: ErrorStatus(
        grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
    errors.NoAggregator: ErrorStatus(
        _PRECONDITION, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
}


class BlockRefused(errors.DeliveryRefused):
    """The aggregator refused a block; callers see its own status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


def batch_status(error: Exception) -> Status:
    """Return what a batch's sender sees of what went wrong with it."""
    if isinstance(error, BlockRefused):
        return error.status
    if not is_expected(error, ERRORS):
        _log.error("unexpected error in a batch", exc_info=error)
    return status_of(error, ERRORS)
