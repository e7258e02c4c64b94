"""Times that requests carry: those that can be reckoned with."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.errors import InvalidRequest

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9000, 1, 1, tzinfo=UTC)
"""Arithmetic on what no clock ever showed overflows."""


def moment_of(stamp: Timestamp, field: str) -> datetime:
    """Return the time that stands at `field` of a request, in UTC.

    Raises:
        InvalidRequest: it is none, or lies before 1970 or after 8999.
    """
    try:
        moment = stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest([(field, str(error))]) from error
    if not _FIRST <= moment < _LAST:
        raise InvalidRequest([(field, f"{moment.isoformat()} lies before 1970 or after 8999")])
    return moment
