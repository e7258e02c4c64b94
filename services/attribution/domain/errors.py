"""What can be wrong with examples and checkpoints, said so that the caller can mend it."""


class AttributionError(Exception):
    """Base of this service's errors. `field` is the path of the request field at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CheckpointRefused(AttributionError):
    """The checkpoint is malformed, corrupt, unsafe to load, or computes what cannot be ablated."""


class NoRoom(AttributionError):
    """Memory is full of checkpoints that are in use. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CheckpointNotFound(AttributionError):
    """No such checkpoint is loaded."""


class UnknownFeature(AttributionError):
    """A column or a named feature is not in the checkpoint's schema."""


class MissingFeature(AttributionError):
    """A feature of the schema has no column."""


class WrongDataType(AttributionError):
    """A column's type does not fit the feature's kind."""


class NotFinite(AttributionError):
    """A value or a prediction is NaN or infinite."""


class EmptyBatch(AttributionError):
    """A batch without examples."""


class ListTooLong(AttributionError):
    """A list has more ids than the program's input takes."""


class IdOutOfRange(AttributionError):
    """An id outside `[0, cardinality)`."""


class MalformedArrow(AttributionError):
    """The bytes are not an Arrow IPC stream."""


class SeenInTraining(AttributionError):
    """The checkpoint has seen data of the batch's window."""


class Abandoned(AttributionError):
    """Nobody waits for the answer any more."""


class DeliveryRefused(AttributionError):
    """The windows do not take a block, and will not later."""


class DeliveryUnavailable(AttributionError):
    """Blocks are to go into windows, and these cannot be reached. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoAggregator(AttributionError):
    """Blocks are to go into windows, and the service was started without them."""


class UnknownLayer(AttributionError):
    """The program has no convolution of that path."""


class UnknownClass(AttributionError):
    """A class that the checkpoint does not tell apart, or none where it tells several apart."""


class SeveralClasses(AttributionError):
    """The checkpoint answers a logit for each class, and the question is about one prediction."""


class NoSaliency(AttributionError):
    """The program has no gradients, or none that comes back to the layer."""
