"""What callers see of this service's errors."""

from grpc import StatusCode

from aftershock.v1.error_reason_pb2 import ErrorReason
from services.aggregator.domain.errors import (
    AheadOfTime,
    CheckpointMismatch,
    CheckpointNotFound,
    CorruptValue,
    FeatureNotFound,
    InvalidOutcomes,
    InvalidPosition,
    InvalidRules,
    InvalidTolerance,
    MalformedBlock,
    ModelNotFound,
    NoControl,
    NotFinite,
    SampleNotRetained,
    SeenInTraining,
    WindowClosed,
    WindowNotFound,
)
from services.aggregator.domain.lineage.errors import (
    InvalidFacts,
    InvalidNode,
    InvalidQuestion,
    NodeNotFound,
)
from services.chassis.errors import ErrorStatus, ErrorTable

_INVALID = StatusCode.INVALID_ARGUMENT
_PRECONDITION = StatusCode.FAILED_PRECONDITION
_NOT_FOUND = StatusCode.NOT_FOUND

ERRORS: ErrorTable = {
    MalformedBlock: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_MALFORMED_BLOCK),
    NotFinite: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_NOT_FINITE),
    AheadOfTime: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    InvalidOutcomes: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    InvalidPosition: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    InvalidRules: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    InvalidTolerance: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    InvalidNode: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    InvalidFacts: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    InvalidQuestion: ErrorStatus(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    SeenInTraining: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_SEEN_IN_TRAINING),
    CheckpointMismatch: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_CHECKPOINT_MISMATCH),
    WindowClosed: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_WINDOW_CLOSED),
    NoControl: ErrorStatus(_PRECONDITION, ErrorReason.ERROR_REASON_NO_CONTROL),
    CheckpointNotFound: ErrorStatus(_NOT_FOUND, ErrorReason.ERROR_REASON_CHECKPOINT_NOT_FOUND),
    ModelNotFound: ErrorStatus(_NOT_FOUND, ErrorReason.ERROR_REASON_MODEL_NOT_FOUND),
    WindowNotFound: ErrorStatus(_NOT_FOUND, ErrorReason.ERROR_REASON_WINDOW_NOT_FOUND),
    FeatureNotFound: ErrorStatus(_NOT_FOUND, ErrorReason.ERROR_REASON_UNKNOWN_FEATURE),
    SampleNotRetained: ErrorStatus(_NOT_FOUND, ErrorReason.ERROR_REASON_SAMPLE_NOT_RETAINED),
    NodeNotFound: ErrorStatus(_NOT_FOUND, ErrorReason.ERROR_REASON_NODE_NOT_FOUND),
    CorruptValue: ErrorStatus(StatusCode.DATA_LOSS, ErrorReason.ERROR_REASON_INTERNAL),
}
