"""What requests say, besides their fields."""

import base64
import binascii
from collections.abc import Sequence

from aftershock.v1 import attribution_service_pb2 as pb
from services.attribution.adapters.arrow_examples import decode
from services.attribution.domain.checkpoint import Schema
from services.attribution.domain.example import Examples
from services.chassis.errors import InvalidRequest
from services.chassis.interceptors.validation import check


def samples_in(streams: Sequence[bytes], schema: Schema, path: str = "") -> list[Examples]:
    """Return the examples in Arrow streams; `path` is that of the request field that holds them.

    Raises:
        MalformedArrow, WrongDataType and others: as `decode`, with the stream's place.
    """
    return [
        decode(stream, schema, f"{path}arrow_streams[{position}]")
        for position, stream in enumerate(streams)
    ]


def options_in(request: pb.ComputeLfiRequest) -> pb.ComputeLfiOptions:
    """Return the options in the first request of a stream."""
    check(request)
    if request.WhichOneof("content") != "options":
        raise InvalidRequest([("batch", "the first request of a stream carries its options")])
    return request.options


def page_token(name: str) -> str:
    """Return the token of a page that ends with the name."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def last_name(token: str) -> str:
    """Return the name that a page ended with. Raises InvalidRequest: no page ended so."""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(
            [("page_token", "not a next_page_token of an earlier response")]
        ) from error
