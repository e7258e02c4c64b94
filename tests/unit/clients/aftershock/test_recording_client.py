"""The client for users' tests keeps what a pipeline sends."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aftershock import InvalidExamples
from aftershock.testing import RecordingClient

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_it_keeps_examples_and_outcomes() -> None:
    client = RecordingClient(model="ads_ctr")
    with client.examples(population="displayed") as log:
        log.send({"hour": np.array([1.0, 2.0])}, event_time=NOON)
    client.outcomes(window=(NOON, NOON + timedelta(hours=1)), expected=1.5, observed=2)
    (sent,) = client.sent
    assert sent.examples.to_pydict() == {"hour": [1.0, 2.0]}
    assert (sent.population, sent.event_time) == ("displayed", NOON)
    assert log.stats.accepted == 2
    (report,) = client.outcome_reports
    assert (report.model, report.observed) == ("models/ads_ctr", 2)
    assert report.request_id


def test_it_refuses_what_the_real_one_cannot_encode() -> None:
    with RecordingClient().examples() as log:
        with pytest.raises(InvalidExamples):
            log.send({"hour": [object()]}, event_time=NOON)
        with pytest.raises(ValueError, match="time zone"):
            log.send({"hour": [1]}, event_time=datetime(2026, 11, 20))
