"""Logging examples: what a pipeline holds, and what became of what it sent."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger("aftershock")

Population = Literal["considered", "displayed"]
OnFull = Literal["drop", "wait"]
Examples: TypeAlias = "Mapping[str, Any] | pa.RecordBatch | pa.Table"
"""A batch of examples. See ExampleLog.send."""


@dataclass(frozen=True)
class LogStats:
    """Counts of examples. Each one sent ends as accepted, duplicate, refused or dropped."""

    sent: int = 0
    """Given to `send`, and drawn where the log takes a sample."""
    accepted: int = 0
    """Attributed and stored."""
    duplicate: int = 0
    """Stored before, by a delivery whose answer was lost. Counted once over there."""
    refused: int = 0
    """Answered with an error: see the log messages of the logger `aftershock`."""
    dropped: int = 0
    """Given up here, because the buffer was full or the time to flush it was over."""

    @property
    def pending(self) -> int:
        """Not answered yet."""
        return self.sent - self.accepted - self.duplicate - self.refused - self.dropped


def sum_of(stats: Iterable[LogStats]) -> LogStats:
    """Return the counts of several logs together."""
    rows = [astuple(one) for one in stats]
    return LogStats(*map(sum, zip(*rows, strict=True)))


class ExampleLog(ABC):
    """Where a pipeline sends the examples that its model scored. Use it as a context manager."""

    @abstractmethod
    def send(self, batch: Examples, *, event_time: datetime, batch_id: str | None = None) -> None:
        """Send examples that were scored at about `event_time`.

        Args:
            batch: a pyarrow RecordBatch or Table with one column a feature, or a dict of columns
                by feature, each of N rows:

                - numeric or categorical: array [N] of numbers; None or a masked value is missing
                - id list: list of N arrays or lists of ids, None where missing
                - weighted id list: list of N pairs (ids, weights), None where missing
                - embedding: array [N, D] of floats
                - encoded embedding: array [N, D/4] of 64-bit integers
                - any: a pyarrow Array
            event_time: when the model scored them, with a time zone. Decides the window.
            batch_id: equal for equal examples that are sent again, as by a job that starts over:
                they count once. At most 100 characters; one of its own for each call if left out.

        Raises:
            InvalidExamples: the batch cannot be encoded; says which feature and why.
            SchemaMismatch: the service refused an earlier or this first batch, because it does
                not fit the checkpoint's schema. Raised once.
            NotFound: no checkpoint of the model is loaded.
            NotAllowed: the token is missing, does not verify, or lacks the role `pipeline`.
            Unavailable: with on_full="wait" only: nothing was answered for too long.
        """

    @property
    @abstractmethod
    def stats(self) -> LogStats:
        """What became of the examples so far."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class SilentLog(ExampleLog):
    """Sends nothing and looks at nothing: what AFTERSHOCK_DISABLED=1 gives."""

    def send(self, batch: Examples, *, event_time: datetime, batch_id: str | None = None) -> None:
        """Do nothing."""

    @property
    def stats(self) -> LogStats:
        """Nothing was sent."""
        return LogStats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None
