"""What can be wrong with label data and audits of it, said so that the caller can mend it."""


class AuditError(Exception):
    """Base of this service's errors. `field` is the path of the request field at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MalformedLabels(AuditError):
    """Rows of labels that contradict themselves: ids out of range, twice in a row, no offsets."""


class NoMultiLabelRows(AuditError):
    """No row holds two labels, so that nothing can co-occur."""


class MalformedCounts(AuditError):
    """A co-occurrence matrix that cannot be one: not square, not symmetric, negative."""


class UnknownLabel(AuditError):
    """A label that the data does not name, or names and never holds."""


class TooLargeForExact(AuditError):
    """An exact answer would take too long; the message says what to ask for instead."""


class InvalidParameters(AuditError):
    """Parameters of an audit that contradict each other or the data."""


class SnapshotRefused(AuditError):
    """A file that lies outside of the allowed roots, cannot be read, or lacks a column."""


class AuditNotFound(AuditError):
    """No audit has that name."""


class AuditNotDone(AuditError):
    """The audit has no report, or none yet."""


class NoRoom(AuditError):
    """As many audits wait as are taken on. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CannotKeep(AuditError):
    """What is to be kept cannot be written. `retry_after` is in seconds."""

    retry_after = 30.0


class PartnerFailed(AuditError):
    """A service that the audit asks does not do its part."""


class PartnerRefused(PartnerFailed):
    """It will not, for what the audit's parameters ask of it. `field` is one of them."""


class PartnerUnavailable(PartnerFailed):
    """It cannot just now: it is away, busy or slow. `retry_after` is in seconds, if it says so."""

    def __init__(
        self, message: str, field: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, field)
        self.retry_after = retry_after
