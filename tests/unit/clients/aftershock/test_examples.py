"""Logging examples: what arrives, what fails at once, and what never holds a pipeline up."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest

from aftershock import (
    Client,
    ConfigurationError,
    Conflict,
    ExampleLog,
    InvalidExamples,
    NotAllowed,
    NotFound,
    SchemaMismatch,
    ServerFailure,
    Unavailable,
)
from aftershock.v1.attribution_service_pb2 import Delivery
from aftershock.v1.error_reason_pb2 import ErrorReason
from aftershock.v1.example_pb2 import Population
from services.chassis.errors import (
    DependencyUnavailable,
    ErrorStatus,
    ErrorTable,
    Forbidden,
    Overloaded,
)
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import checkpoint
from tests.unit.clients.aftershock.recording import (
    Attribution,
    Deliveries,
    Runbook,
    Served,
    refusal,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class WrongDataType(Exception):
    field = "batch.arrow_stream.hour"


class NotFinite(Exception):
    pass


class NoCheckpoint(Exception):
    pass


class NoAggregator(Exception):
    pass


TABLE: ErrorTable = {
    WrongDataType: ErrorStatus(
        grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_WRONG_DATA_TYPE
    ),
    NotFinite: ErrorStatus(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_NOT_FINITE),
    NoCheckpoint: ErrorStatus(
        grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_CHECKPOINT_NOT_FOUND
    ),
    NoAggregator: ErrorStatus(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    ),
}
WRONG = refusal(WrongDataType("feature 'hour' came as string, the schema wants a number"), TABLE)


def batch(rows: int = 3) -> dict[str, Any]:
    return {"hour": np.arange(rows, dtype=np.float32)}


def send_hours(log: ExampleLog, hours: int) -> None:
    with log:
        for hour in range(hours):
            log.send(batch(), event_time=NOON + timedelta(hours=hour))


def eventually(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_examples_arrive_as_sent(platform: Platform, client: Client) -> None:
    with client.examples(population="displayed") as log:
        log.send(batch(3), event_time=NOON)
        log.send(pa.table({"hour": [7.0]}), event_time=NOON + timedelta(hours=1))
    (options,) = platform.attribution.options
    assert options.checkpoint == "models/ads_ctr"
    assert options.delivery == Delivery.DELIVERY_AGGREGATOR
    first, second = platform.attribution.deliveries.stored.values()
    assert first.population == Population.POPULATION_DISPLAYED
    assert first.event_time.ToDatetime(UTC) == NOON
    assert pa.ipc.open_stream(first.arrow_stream).read_all().to_pydict() == {"hour": [0, 1, 2]}
    assert second.event_time.ToDatetime(UTC) == NOON + timedelta(hours=1)
    assert (log.stats.sent, log.stats.accepted, log.stats.pending) == (4, 4, 0)


def test_a_large_batch_is_split_and_every_part_has_its_own_id(
    platform: Platform, client: Client
) -> None:
    with client.examples() as log:
        log.send(batch(1500), event_time=NOON)
    stored = platform.attribution.deliveries.stored.values()
    rows = [pa.ipc.open_stream(b.arrow_stream).read_all().num_rows for b in stored]
    assert rows == [512, 512, 476]
    assert log.stats.accepted == 1500


def sampled(platform: Platform, client: Client, batches: list[int], **sampling: Any) -> list[int]:
    """Return the numbers that arrive of 0, 1, ... sent in batches of these sizes."""
    platform.attribution.deliveries.stored.clear()
    start = 0
    with client.examples(on_full="wait", **sampling) as log:
        for size in batches:
            log.send({"hour": np.arange(start, start + size)}, event_time=NOON)
            start += size
    stored = platform.attribution.deliveries.stored.values()
    tables = [pa.ipc.open_stream(message.arrow_stream).read_all() for message in stored]
    arrived = [number for table in tables for number in table["hour"].to_pylist()]
    assert log.stats.sent == len(arrived)
    return arrived


def test_a_sample_is_reproducible_by_its_seed(platform: Platform, client: Client) -> None:
    once = sampled(platform, client, [400, 1, 1, 1, 597], sample=0.3, seed=7)
    again = sampled(platform, client, [1000], sample=0.3, seed=7)
    assert once == again == sorted(set(once))
    assert 240 < len(once) < 360
    assert sampled(platform, client, [1000], sample=0.3, seed=8) != once
    assert sampled(platform, client, [1000], sample=0.3, seed=7, population="displayed") != once
    assert sampled(platform, client, [1000]) == list(range(1000))


def test_a_batch_of_which_nothing_is_drawn_holds_nothing_up(
    platform: Platform, client: Client
) -> None:
    assert sampled(platform, client, [1, 1, 1], sample=1e-9) == []


def test_a_wrong_dtype_fails_at_the_first_batch(platform: Platform, client: Client) -> None:
    platform.attribution.judge = lambda _: WRONG
    with client.examples() as log, pytest.raises(SchemaMismatch, match=r"'hour'.*wants") as caught:
        log.send({"hour": ["a"]}, event_time=NOON)
    assert caught.value.reason == "WRONG_DATA_TYPE"
    assert caught.value.violations[0].field == "batch.arrow_stream.hour"
    assert log.stats.refused == 1


def test_a_wrong_dtype_later_fails_at_the_next_send_or_at_the_end(
    platform: Platform, client: Client
) -> None:
    platform.attribution.judge = lambda b: WRONG if b.event_time.ToDatetime(UTC) > NOON else None
    with pytest.raises(SchemaMismatch):
        send_hours(client.examples(), 2)
    with client.examples() as log:
        log.send(batch(), event_time=NOON)
        platform.attribution.answering.clear()
        log.send(batch(), event_time=NOON + timedelta(hours=1))
        platform.attribution.answering.set()
        eventually(lambda: log.stats.refused)
        with pytest.raises(SchemaMismatch):
            log.send(batch(), event_time=NOON)
        # Told once: whoever goes on regardless is counted.
        log.send(batch(), event_time=NOON)
    assert log.stats.accepted == 6


def test_bad_values_are_counted_and_the_pipeline_goes_on(
    platform: Platform, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    odd = refusal(NotFinite("feature 'hour' is NaN in row 2"), TABLE)
    refusals = iter([odd, odd, None])
    platform.attribution.judge = lambda _: next(refusals)
    with caplog.at_level(logging.WARNING, "aftershock"), client.examples() as log:
        for _ in range(3):
            log.send(batch(), event_time=NOON)
    assert (log.stats.refused, log.stats.accepted) == (6, 3)
    assert [r.message for r in caplog.records if "NaN" in r.message] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoCheckpoint("no checkpoint of models/ads_ctr is loaded"), NotFound),
        (Forbidden("reader may not call ComputeLfi"), NotAllowed),
        (NoAggregator("no aggregator is configured"), Conflict),
    ],
)
def test_what_waiting_does_not_mend_fails_at_the_first_batch(
    platform: Platform, client: Client, error: Exception, expected: type[Exception]
) -> None:
    platform.attribution.errors = [refusal(error, TABLE)] * 10
    # A timeout beyond the test's own: waiting for it would fail.
    with pytest.raises(expected), client.examples(timeout=600.0) as log:
        log.send(batch(), event_time=NOON)
    assert (log.stats.accepted, log.stats.pending) == (0, 0)


def test_an_address_of_another_service_fails_at_the_first_batch() -> None:
    served = Served(Runbook())
    with Client(served.address, model="ads_ctr") as client:
        log = client.examples(timeout=600.0)
        with pytest.raises(ServerFailure, match="attribution service"):
            send_hours(log, 1)
    served.kill()


def test_examples_that_cannot_be_encoded_are_not_sent(platform: Platform, client: Client) -> None:
    with client.examples() as log:
        with pytest.raises(InvalidExamples, match="hour"):
            log.send({"hour": [object()]}, event_time=NOON)
        with pytest.raises(ValueError, match="no time zone"):
            log.send(batch(), event_time=datetime(2026, 11, 20))
    assert log.stats.sent == 0


def test_a_full_buffer_drops_and_counts(platform: Platform, client: Client) -> None:
    with client.examples(buffer_bytes=1) as log:
        log.send(batch(), event_time=NOON)
        platform.attribution.answering.clear()
        for _ in range(5):
            log.send(batch(), event_time=NOON)
        assert log.stats.dropped == 12
        platform.attribution.answering.set()
    assert (log.stats.sent, log.stats.accepted) == (18, 6)


def test_a_full_buffer_makes_a_backfill_wait(platform: Platform, client: Client) -> None:
    with client.examples(on_full="wait", buffer_bytes=1) as log:
        log.send(batch(), event_time=NOON)
        platform.attribution.answering.clear()
        log.send(batch(), event_time=NOON)
        threading.Timer(0.2, platform.attribution.answering.set).start()
        for _ in range(5):
            log.send(batch(), event_time=NOON)
    assert (log.stats.accepted, log.stats.dropped) == (21, 0)


def test_a_backfill_gives_up_when_nothing_is_answered(platform: Platform, client: Client) -> None:
    platform.attribution.answering.clear()
    log = client.examples(on_full="wait", buffer_bytes=1, timeout=0.2)
    with pytest.raises(Unavailable, match="buffer is full"):
        send_hours(log, 5)
    assert log.stats.pending == 0


def test_a_backfill_that_ends_unanswered_says_so(platform: Platform, client: Client) -> None:
    platform.attribution.answering.clear()
    with (
        pytest.raises(Unavailable, match="3 examples were not answered"),
        client.examples(on_full="wait", timeout=0.2) as log,
    ):
        log.send(batch(), event_time=NOON)
    assert log.stats.dropped == 3


def test_the_end_waits_no_longer_than_its_timeout(
    platform: Platform, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    platform.attribution.answering.clear()
    with client.examples(timeout=0.2) as log:
        log.send(batch(), event_time=NOON)
    assert log.stats.dropped == 3
    assert "not answered in time" in caplog.text


def test_a_service_that_is_not_there_holds_nothing_up() -> None:
    with Client("127.0.0.1:1", model="m") as client:
        log = client.examples(timeout=0.5)
        send_hours(log, 2)
    assert log.stats.dropped == 6


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("as much work as it takes on", retry_after=0.05),
        DependencyUnavailable("the aggregator is away", retry_after=0.05),
    ],
)
def test_a_batch_that_has_to_wait_is_sent_again_under_its_id(
    platform: Platform, client: Client, error: Exception
) -> None:
    answers = iter([None, refusal(error, {}), refusal(error, {})])
    platform.attribution.judge = lambda _: next(answers, None)
    with client.examples(on_full="wait") as log:
        for hour in range(4):
            log.send(batch(), event_time=NOON + timedelta(hours=hour))
    assert (log.stats.accepted, log.stats.refused) == (12, 0)
    received = platform.attribution.deliveries.received
    assert len(set(received)) == 4
    assert len(received) > 4


@pytest.fixture
def mortal() -> Iterator[tuple[Deliveries, Served, Client]]:
    """A service that a test may kill, and what reached any of its incarnations."""
    deliveries = Deliveries()
    served = Served(Attribution(deliveries))
    with Client(served.address, model="ads_ctr") as client:
        yield deliveries, served, client
    served.kill()


def test_what_was_not_answered_when_the_service_died_is_sent_again_and_counts_once(
    mortal: tuple[Deliveries, Served, Client],
) -> None:
    deliveries, served, client = mortal
    with client.examples(on_full="wait", timeout=20.0) as log:
        log.send(batch(), event_time=NOON)
        first = served.servicers[0]
        first.answering.clear()
        for hour in range(1, 6):
            log.send(batch(), event_time=NOON + timedelta(hours=hour))
        # Stored over there, but the answer will never come.
        eventually(lambda: len(deliveries.stored) >= 2)
        served.kill()
        served.start(Attribution(deliveries))
    assert len(deliveries.stored) == 6
    assert len(deliveries.received) > 6
    hours = [time.ToDatetime(UTC).hour for time in deliveries.event_times]
    assert hours == [12, 13, 14, 15, 16, 17]
    assert log.stats.accepted + log.stats.duplicate == 18
    assert log.stats.duplicate >= 3
    assert (log.stats.dropped, log.stats.refused) == (0, 0)


def test_a_pipeline_outlives_an_outage(mortal: tuple[Deliveries, Served, Client]) -> None:
    deliveries, served, client = mortal
    with client.examples(timeout=20.0) as log:
        log.send(batch(), event_time=NOON)
        served.kill()
        log.send(batch(), event_time=NOON)
        # An outage of ours, even a misconfigured one, is no reason to stop a pipeline.
        crippled = Attribution(deliveries)
        crippled.errors = [refusal(NoCheckpoint("none is loaded"), TABLE)]
        served.start(crippled)
        log.send(batch(), event_time=NOON)
    assert log.stats.accepted == 9


def test_an_error_of_the_pipeline_is_not_masked(platform: Platform, client: Client) -> None:
    def pipeline(log: ExampleLog) -> None:
        with log:
            log.send(batch(), event_time=NOON)
            # Refused only once the pipeline has failed by itself.
            platform.attribution.judge = lambda _: WRONG
            platform.attribution.answering.clear()
            log.send(batch(), event_time=NOON)
            threading.Timer(0.2, platform.attribution.answering.set).start()
            raise ZeroDivisionError

    log = client.examples()
    with pytest.raises(ZeroDivisionError):
        pipeline(log)
    assert (log.stats.accepted, log.stats.refused) == (3, 3)


def test_a_log_is_a_context_manager(client: Client) -> None:
    with pytest.raises(RuntimeError, match=r"with client\.examples"):
        client.examples().send(batch(), event_time=NOON)


def test_threads_may_share_a_log(platform: Platform, client: Client) -> None:
    with client.examples(on_full="wait") as log:
        threads = [
            threading.Thread(target=lambda: log.send(batch(10), event_time=NOON)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert log.stats.accepted == 80


def test_no_thread_is_left_behind(platform: Platform, client: Client) -> None:
    with client.examples() as log:
        log.send(batch(), event_time=NOON)
    assert not [t for t in threading.enumerate() if t.name == "aftershock-log"]


@pytest.mark.parametrize("arguments", [{"population": "all"}, {"on_full": "explode"}])
def test_unknown_words_are_refused(client: Client, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'considered' or 'displayed'"):
        client.examples(**arguments)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_sample_is_a_share(client: Client, share: float) -> None:
    with pytest.raises(ValueError, match="above 0, at most 1"):
        client.examples(sample=share)


def test_a_log_needs_a_model_and_an_address() -> None:
    with pytest.raises(ConfigurationError, match="model"):
        Client("127.0.0.1:1").examples()
    with pytest.raises(ConfigurationError, match="AFTERSHOCK_ATTRIBUTION_ADDRESS"):
        Client(model="m").examples()


def test_disabled_is_a_no_op(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_DISABLED", "1")
    client = Client()
    with client.examples() as log:
        log.send({"f": object()}, event_time=NOON)
    assert log.stats.sent == 0
    answer = client.outcomes(start=NOON, end=NOON, expected=1.0, observed=1)
    assert not answer.HasField("window")


def test_without_arrow_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import aftershock\n"
        "try: aftershock.Client('127.0.0.1:1', model='m').examples()\n"
        "except aftershock.ConfigurationError as error: print(error)"
    )
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "pip install 'aftershock[arrow]'" in said


def test_a_batch_with_a_name_counts_once(platform: Platform, client: Client) -> None:
    for count in (1, 2):
        with client.examples() as log:
            log.send(batch(600), event_time=NOON, batch_id="job-7/part-3")
        assert list(platform.attribution.deliveries.stored) == ["job-7/part-3/0", "job-7/part-3/1"]
        assert len(platform.attribution.deliveries.received) == 2 * count
    assert log.stats.duplicate == 600


def test_a_backfill_without_arrow_says_what_to_install(platform: Platform, tmp_path: Path) -> None:
    platform.attribution.checkpoints = [checkpoint()]
    (tmp_path / "history.parquet").touch()
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from aftershock.cli.__main__ import main; main()\n"
    )
    arguments = ["--address", platform.address, "backfill", str(tmp_path / "history.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--model", "ads_ctr"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'aftershock[arrow]'" in done.stderr
