"""Statuses that fit into trailing metadata."""

from urllib.parse import quote

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidRequest, Overloaded, status_of
from services.chassis.interceptors.fitting import fitted


@given(st.lists(st.tuples(st.text(max_size=2000), st.text(max_size=2000)), min_size=1, max_size=60))
def test_any_status_fits(violations: list[tuple[str, str]]) -> None:
    short = fitted(status_of(InvalidRequest(violations), {}))
    # Binary metadata is sent in base64.
    assert len(quote(short.message)) + len(short.SerializeToString()) * 4 / 3 < 8000


def test_the_first_fields_at_fault_stay() -> None:
    violations = [
        (f"edges[{number}].source", "must be at least 1 characters") for number in range(999)
    ]
    whole = status_of(InvalidRequest(violations), {})
    short = fitted(whole)
    info, bad = ErrorInfo(), BadRequest()
    assert short.details[0].Unpack(info)
    assert short.details[1].Unpack(bad)
    assert info.reason == "ERROR_REASON_INVALID_REQUEST"
    assert bad.field_violations[0].field == "edges[0].source"
    assert len(bad.field_violations) > 30
    assert short.message.startswith("edges[0].source: must be at least 1 characters; ")
    assert short.message.endswith("...")


def test_what_fits_stays_as_it_is() -> None:
    whole = status_of(Overloaded("too much: try again", 2.0), {})
    short = fitted(whole)
    assert short == Status.FromString(whole.SerializeToString())
    assert short.details[1].Unpack(RetryInfo())
