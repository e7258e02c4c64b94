"""Every operation of the client, and its errors, against real servers."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from threading import Event

import grpc
import pytest

from aftershock import (
    Client,
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServerFailure,
    ServiceError,
    Unavailable,
)
from aftershock.v1.error_reason_pb2 import ErrorReason
from aftershock.v1.importance_pb2 import FeatureImportance
from aftershock.v1.incident_pb2 import IncidentState, MitigationState
from aftershock.v1.shift_pb2 import ControlSelection, RankBy
from services.chassis.errors import DependencyUnavailable, ErrorStatus, ErrorTable
from services.chassis.errors import InvalidRequest as RuleBroken
from services.chassis.errors import Overloaded as Busy
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import (
    PLAN,
    checkpoint,
    comparison,
    incident,
    mitigation,
    summary,
    window,
)
from tests.unit.clients.aftershock.recording import refusal

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Stale(Exception):
    pass


class Broken(Exception):
    pass


TABLE: ErrorTable = {
    Stale: ErrorStatus(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STALE_PLAN),
}


def test_outcomes_in_every_way_to_say_when(platform: Platform, client: Client) -> None:
    client.outcomes(start=NOON, end=NOON + HOUR, expected=10.5, observed=9)
    client.outcomes(window=(NOON, NOON + HOUR), expected=10.5, observed=9)
    client.outcomes(window=window(12), expected=10.5, observed=9.0)
    east = NOON.astimezone(timezone(timedelta(hours=5)))
    answer = client.outcomes(start=east, end=east + HOUR, expected=10.5, observed=9)
    requests = platform.aggregator.requests
    assert all(request == requests[0] for request in requests)
    assert requests[0].model == "models/ads_ctr"
    assert requests[0].end_time.ToDatetime(UTC) == NOON + HOUR
    assert (requests[0].expected, requests[0].observed) == (10.5, 9)
    assert answer.duplicate


def test_other_outcomes_have_another_request_id(platform: Platform, client: Client) -> None:
    client.outcomes(start=NOON, end=NOON + HOUR, expected=10.5, observed=9)
    client.outcomes(start=NOON, end=NOON + HOUR, expected=10.5, observed=10)
    client.outcomes(start=NOON, end=NOON + HOUR, expected=10.5, observed=9, request_id="shard-2")
    ids = [request.request_id for request in platform.aggregator.requests]
    assert len(set(ids)) == 3
    assert ids[2] == "shard-2"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"start": NOON},
        {"start": NOON, "end": NOON + HOUR, "window": (NOON, NOON + HOUR)},
        {"start": NOON, "window": window(12)},
        {"start": datetime(2026, 11, 20), "end": NOON},
    ],
)
def test_outcomes_that_do_not_say_when(client: Client, arguments: dict[str, datetime]) -> None:
    with pytest.raises(ValueError, match=r"say when|time zone"):
        client.outcomes(**arguments, expected=1.0, observed=1)  # type: ignore[arg-type]


def test_observed_is_a_whole_number(client: Client) -> None:
    with pytest.raises(ValueError, match="whole number"):
        client.outcomes(start=NOON, end=NOON + HOUR, expected=1.0, observed=0.5)


def test_windows_come_page_by_page(platform: Platform, client: Client) -> None:
    platform.aggregator.windows = [window(hour) for hour in range(5)]
    assert client.windows() == platform.aggregator.windows
    assert len(platform.aggregator.requests) == 3
    assert client.windows("feed", limit=3) == platform.aggregator.windows[:3]
    assert platform.aggregator.requests[-1].parent == "models/feed"


def test_reading(platform: Platform, client: Client) -> None:
    platform.aggregator.models = [summary()]
    platform.aggregator.importances = [FeatureImportance(feature="user_age", rank=1)]
    platform.attribution.checkpoints = [checkpoint()]
    platform.runbook.incidents = [incident()]
    assert client.models() == [summary()]
    assert client.gfi("20261120T020000Z")[0].feature == "user_age"
    assert client.gfi(window(2))[0].rank == 1
    assert {r.window for r in platform.aggregator.requests[1:]} == {window(2).name}
    assert client.checkpoints() == [checkpoint()]
    assert client.load_checkpoint("/checkpoints/a") == checkpoint()
    assert platform.attribution.requests[-1].folder == "/checkpoints/a"
    assert client.incidents() == [incident()]
    assert platform.runbook.requests[-1].model == "models/ads_ctr"
    assert client.incident("INC-1") == client.incident("incidents/INC-1") == incident()


def test_loading_a_checkpoint_may_take_long(platform: Platform, client: Client) -> None:
    platform.attribution.checkpoints = [checkpoint()]
    client.load_checkpoint("/checkpoints/a")
    assert (platform.attribution.time_left[-1] or 0) > 200


def test_compare_with_each_kind_of_control(platform: Platform, client: Client) -> None:
    platform.aggregator.comparison = comparison()
    assert client.compare(window(2)) == comparison()
    client.compare("20261120T020000Z", control="previous-hour", top=5)
    client.compare(window(2), control="20261120T010000Z")
    client.compare(window(2), control=window(1), rank_by="mfc-shift")
    with pytest.raises(ValueError, match="choose one of evidence, gfi-shift"):
        client.compare(window(2), rank_by="size")
    plain, hour, by_id, by_window = platform.aggregator.requests
    assert plain.WhichOneof("control") is None
    assert plain.top_k == 30
    assert hour.anomaly == window(2).name
    assert hour.control_selection == ControlSelection.CONTROL_SELECTION_PREVIOUS_HOUR
    assert hour.top_k == 5
    assert by_id.control_window == by_window.control_window == window(1).name
    assert by_id.rank_by == RankBy.RANK_BY_UNSPECIFIED
    assert by_window.rank_by == RankBy.RANK_BY_MFC_SHIFT


def test_an_approval_is_bound_to_the_plan_that_was_seen(platform: Platform, client: Client) -> None:
    platform.runbook.incidents = [incident()]
    client.approve(mitigation(), "the evidence convinces")
    (request,) = platform.runbook.requests
    assert (request.name, request.plan_hash) == (mitigation().name, PLAN)
    assert request.reason == "the evidence convinces"


def test_an_incident_stands_for_its_single_mitigation(platform: Platform, client: Client) -> None:
    applied = mitigation(2, MitigationState.MITIGATION_STATE_EFFECTIVE)
    platform.runbook.incidents = [incident(mitigation(), applied)]
    client.approve("INC-1")
    client.reject("INC-1", "not convinced")
    client.revert("INC-1", "it did not help")
    client.revert(applied.name, "it did not help")
    client.renew("INC-1", "still broken")
    client.release("INC-1", "mended")
    decisions = [r for r in platform.runbook.requests if hasattr(r, "reason")]
    assert [r.name.rpartition("/")[2] for r in decisions] == [
        "M-1",
        "M-1",
        "M-2",
        "M-2",
        "M-2",
        "M-2",
    ]
    assert decisions[1].plan_hash == PLAN


def test_who_speaks_for_somebody_says_so(platform: Platform, client: Client) -> None:
    lease = timedelta(seconds=30)
    acting = client.acting_for("slack:T1/U1")
    acting.snooze("INC-42", timedelta(minutes=30), "on my way")
    assert platform.runbook.metadata[-1]["aftershock-on-behalf-of"] == "slack:T1/U1"
    assert platform.runbook.requests[-1].duration.ToTimedelta() == timedelta(minutes=30)
    surface = client.claim_surface("incidents/INC-42/surfaces/x", holder="bot-1", lease=lease)
    assert "aftershock-on-behalf-of" not in platform.runbook.metadata[-1]
    surface.message = "C1/1.2"
    assert client.record_surface(surface, release=True).message == "C1/1.2"
    assert platform.runbook.requests[-1].release


def test_a_pause_and_its_end(platform: Platform, client: Client) -> None:
    assert client.pause("the sale").paused
    assert client.pause_state().reason == "the sale"
    assert not client.resume("over").paused
    assert not client.pause_state().paused


def test_two_proposals_have_to_be_told_apart(platform: Platform, client: Client) -> None:
    platform.runbook.incidents = [incident(mitigation(1), mitigation(2))]
    with pytest.raises(Conflict, match=r"M-1 is PROPOSED, .*M-2 is PROPOSED"):
        client.approve("INC-1")
    with pytest.raises(Conflict, match="APPLIED or EFFECTIVE or RELEASING or VERIFYING"):
        client.revert("INC-1", "why")


def test_watching_goes_on_after_a_break_and_repeats_nothing(
    platform: Platform, client: Client
) -> None:
    opened, closed = incident(), incident()
    closed.state = IncidentState.INCIDENT_STATE_CLOSED
    platform.runbook.incidents = [opened]
    watch = client.watch_incidents()
    assert next(watch) == opened
    platform.runbook.incidents = [closed]
    platform.served.kill()
    platform.served.start()
    assert list(islice(watch, 1)) == [closed]
    watch.close()  # type: ignore[attr-defined]


def test_watching_ends_without_a_word_when_the_client_is_closed(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    platform.runbook.incidents = [incident()]
    client, seen = Client(platform.address), Event()

    def watch() -> None:
        for _ in client.watch_incidents():
            seen.set()

    with ThreadPoolExecutor() as pool:
        watching = pool.submit(watch)
        assert seen.wait(10)
        client.close()
        assert watching.result(timeout=10) is None
    assert not caplog.records


def test_a_closed_client_calls_nobody(client: Client) -> None:
    client.close()
    with pytest.raises(ConfigurationError, match="the client is closed"):
        client.incidents()


def test_an_error_keeps_what_the_service_said(platform: Platform, client: Client) -> None:
    error = RuleBroken([("page_size", "must be less than 1000"), ("model", "no such form")])
    platform.runbook.errors = [refusal(error, {})]
    with pytest.raises(InvalidRequest, match="page_size: must be less than 1000") as caught:
        client.incidents()
    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.reason == "INVALID_REQUEST"
    assert [v.field for v in caught.value.violations] == ["page_size", "model"]


@pytest.mark.parametrize(
    ("error", "expected", "reason"),
    [
        (Stale("the plan changed: look again"), Conflict, "STALE_PLAN"),
        (Broken("secret"), ServerFailure, "INTERNAL"),
    ],
)
def test_errors_by_class(
    platform: Platform, client: Client, error: Exception, expected: type[ServiceError], reason: str
) -> None:
    platform.runbook.errors = [refusal(error, TABLE)]
    with pytest.raises(expected) as caught:
        client.incidents()
    assert caught.value.reason == reason


def test_a_status_without_details_is_understood(platform: Platform, client: Client) -> None:
    with pytest.raises(NotFound, match="there is no incidents/INC-9: list incidents"):
        client.incident("INC-9")


def test_a_busy_service_is_asked_again_when_it_says(platform: Platform, client: Client) -> None:
    busy = refusal(Busy("as much work as it takes on", retry_after=0.05), {})
    platform.runbook.errors = [busy, busy]
    platform.runbook.incidents = [incident()]
    assert client.incidents() == [incident()]
    assert len(platform.runbook.requests) == 3


def test_a_service_busy_for_longer_than_the_timeout_is_not_waited_for(
    platform: Platform, client: Client
) -> None:
    platform.runbook.errors = [refusal(Busy("as much as it takes on", retry_after=600.0), {})]
    with pytest.raises(Overloaded) as caught:
        client.incidents()
    assert caught.value.retry_after == 600.0
    assert len(platform.runbook.requests) == 1


def test_a_service_that_is_away_is_asked_again_by_the_channel(
    platform: Platform, client: Client
) -> None:
    platform.runbook.errors = [refusal(DependencyUnavailable("restarting"), {})]
    assert client.incidents() == []
    assert len(platform.runbook.requests) == 2


def test_no_service_at_all_names_its_address() -> None:
    with (
        Client("127.0.0.1:1") as client,
        pytest.raises(Unavailable, match=r"runbook service at 127\.0\.0\.1:1 cannot be reached"),
    ):
        client.incidents()


def test_a_silent_service_runs_into_the_deadline(platform: Platform) -> None:
    platform.runbook.is_silent = True
    with (
        Client(platform.address, timeout=0.1) as client,
        pytest.raises(DeadlineExceeded, match="did not answer in time"),
    ):
        client.incidents()
