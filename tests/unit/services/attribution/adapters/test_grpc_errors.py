"""Every error of the domain has a status."""

import inspect

from services.attribution.adapters.grpc_errors import ERRORS, BlockRefused, batch_status
from services.attribution.domain import errors
from services.chassis.errors import status_of
from tests.unit.services.attribution.aggregators import status


def test_the_table_covers_the_domain() -> None:
    members = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    assert set(ERRORS) == set(members) - {errors.AttributionError}
    assert all(issubclass(c, errors.AttributionError) for c in members)


def test_reasons_tell_errors_apart() -> None:
    reasons = [entry.reason for error, entry in ERRORS.items() if error is not errors.NoAggregator]
    assert len(set(reasons)) == len(reasons)


def test_the_aggregators_own_status_is_passed_on() -> None:
    import grpc

    closed = status(grpc.StatusCode.FAILED_PRECONDITION, "the window is closed")
    assert batch_status(BlockRefused(closed)) == closed
    assert status_of(BlockRefused(closed), ERRORS).message == "the window is closed"


def test_what_nobody_expected_keeps_its_text_to_itself() -> None:
    assert "secret" not in batch_status(RuntimeError("secret")).message
