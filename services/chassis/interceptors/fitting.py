"""Statuses travel in trailing metadata. Clients take 8 KiB of it: a longer one breaks the call."""

from urllib.parse import quote

from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

_MESSAGE_BYTES = 1500
"""As it is sent: what is not printable ASCII takes three bytes for each of its own."""
_DETAIL_BYTES = 2500
_TEXT = 300
"""Characters of a field's path, and of what is said of it."""


def fitted(status: Status) -> Status:
    """Return the status with its texts cut, and as many fields at fault as there is room for."""
    short = Status(code=status.code, message=_cut(status.message))
    for detail in status.details:
        kept = short.details.add()
        kept.CopyFrom(detail)
        whole = BadRequest()
        if detail.Unpack(whole):
            kept.Pack(_some(whole))
    return short


def _cut(message: str) -> str:
    if len(quote(message)) <= _MESSAGE_BYTES:
        return message
    length = len(message)
    while len(quote(message[:length])) > _MESSAGE_BYTES:
        length = length * 9 // 10
    return f"{message[:length]}..."


def _some(whole: BadRequest) -> BadRequest:
    some = BadRequest()
    for violation in whole.field_violations:
        field, description = violation.field[:_TEXT], violation.description[:_TEXT]
        some.field_violations.add(field=field, description=description)
        if some.ByteSize() > _DETAIL_BYTES:
            del some.field_violations[-1]
            break
    return some
