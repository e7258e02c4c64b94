"""What is told of a request that breaks a rule of the contract."""

import pytest

from aftershock.v1.aggregator_service_pb2 import ChooseSampleSizeRequest, ListWindowsRequest
from services.chassis.errors import InvalidRequest
from services.chassis.interceptors.validation import check

WINDOW = "models/ads_ctr/windows/20261120T020000Z"


def test_a_request_that_breaks_none_passes() -> None:
    check(ListWindowsRequest(parent="models/ads_ctr"))


def test_a_value_of_another_form_stands_beside_the_form() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(ListWindowsRequest(parent="models/ads ctr"))
    told = "'models/ads ctr' is not of the form models/[A-Za-z0-9_.-]{1,64}"
    assert caught.value.violations == [("parent", told)]
    assert str(caught.value) == f"parent: {told}"


def test_a_long_value_is_cut() -> None:
    with pytest.raises(InvalidRequest, match=r"^parent: 'models/a{73}' is not of the form"):
        check(ListWindowsRequest(parent="models/" + "a" * 10_000))


def test_other_rules_speak_for_themselves() -> None:
    with pytest.raises(InvalidRequest, match=r"^tolerance: must be greater than 0$"):
        check(ChooseSampleSizeRequest(window=WINDOW, tolerance=-1.0))
