"""What can be wrong with blocks, windows and questions, said so that the caller can mend it."""

from typing import Self


class AggregatorError(Exception):
    """Base of this service's errors. `field` is the path of the request field at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MalformedBlock(AggregatorError):
    """The arrays of a block do not fit each other, its counts or its checkpoint."""


class NotFinite(AggregatorError):
    """An importance or a prediction is NaN or infinite."""


class SeenInTraining(AggregatorError):
    """The checkpoint has seen data of the block's window."""


class AheadOfTime(AggregatorError):
    """An event time lies so far ahead that it would close windows that have yet to happen."""


class InvalidOutcomes(AggregatorError):
    """Reported outcomes do not lie within one window, or are beyond counting."""


class InvalidRules(AggregatorError):
    """A model's windows would be forgotten before they close."""


class InvalidPosition(AggregatorError):
    """A page token or a cursor that this service did not hand out."""


class InvalidTolerance(AggregatorError):
    """No window of a possible size has standard errors under the tolerance."""


class CheckpointNotFound(AggregatorError):
    """No such checkpoint is registered for the model."""

    def __init__(self, model: str, digest: str) -> None:
        super().__init__(
            f"models/{model} has no checkpoint {digest}: register it on the stream before its "
            "blocks",
            field="block.checkpoint_digest",
        )


class CheckpointMismatch(AggregatorError):
    """Importances by different checkpoints or methods are not comparable."""

    @classmethod
    def within(cls, window: str, digest: str, method: str) -> Self:
        """Return the error of a block for a window that holds others than its own kind."""
        return cls(
            f"{window} holds {method} importances by checkpoint {digest}: one checkpoint scores a "
            "window, with one method",
            field="block.checkpoint_digest",
        )

    @classmethod
    def of_digest(cls, checkpoint: str) -> Self:
        """Return the error of a checkpoint whose digest stands for another."""
        return cls(
            f"{checkpoint} is registered under this digest with other content: a digest must be "
            "the SHA-256 of its manifest",
            field="checkpoint.digest",
        )


class ModelNotFound(AggregatorError):
    """Nothing is known of the model."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"models/{model} is not known: send examples of it first (what is not used for the "
            "retention is forgotten)"
        )


class WindowNotFound(AggregatorError):
    """Nothing is kept of the window."""

    def __init__(self, window: str) -> None:
        super().__init__(
            f"there is no {window}: windows are named by their start, like "
            "models/ads_ctr/windows/20261120T100000Z, and kept for the retention"
        )


class FeatureNotFound(AggregatorError):
    """The checkpoint has no such feature."""

    def __init__(self, checkpoint: str, feature: str) -> None:
        super().__init__(
            f"{checkpoint} has no feature {feature!r}: a window's GFIs are of those it has",
            field="feature",
        )


class WindowClosed(AggregatorError):
    """Event time has passed the window: its importances are final."""

    def __init__(self, window: str) -> None:
        super().__init__(
            f"{window} is closed, for event time has passed it: send blocks in time, or allow for "
            "more lateness (`aftershock rules MODEL --allowed-lateness SECONDS`)",
            field="block.event_time",
        )


class NoControl(AggregatorError):
    """No earlier window can serve as control."""


class SampleNotRetained(AggregatorError):
    """The window's examples were never kept, or have expired."""

    def __init__(self, window: str) -> None:
        super().__init__(
            f"no examples of {window} are kept: keeping them is off, or they have expired"
        )


class CorruptValue(AggregatorError):
    """A stored value does not match its checksum."""

    def __init__(self, value: str) -> None:
        super().__init__(f"{value} is damaged in the store: it does not match its checksum")
