"""What is asked of whom when a group is tested, and how a person sees the answer."""

import pytest

import aftershock
from aftershock import Client, NotFound, aio
from aftershock.v1 import attribution_service_pb2 as attribution
from aftershock.v1 import lineage_pb2
from aftershock.v1 import lineage_service_pb2 as lineage
from aftershock.v1.checkpoint_pb2 import Checkpoint, Feature
from aftershock.v1.example_pb2 import Population
from aftershock.v1.window_pb2 import Calibration, Window, WindowState
from tests.unit.clients.aftershock.cli.running import cells, run, run_json
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import incident
from tests.unit.clients.aftershock.recording import stamp

JOB = "job:airflow:encode"
DIGEST = "d" * 64
CONSIDERED, DISPLAYED = Population.POPULATION_CONSIDERED, Population.POPULATION_DISPLAYED


def name_of(hour: int) -> str:
    return f"models/ads_ctr/windows/20261120T{hour:02}0000Z"


def window_of(hour: int, *, anomalous: bool = False, digest: str = DIGEST) -> Window:
    return Window(
        name=name_of(hour),
        start_time=stamp(2026, 11, 20, hour),
        end_time=stamp(2026, 11, 20, hour + 1),
        state=WindowState.WINDOW_STATE_CLOSED,
        checkpoint_digest=digest,
        calibration=Calibration(anomalous=anomalous),
    )


def move_of(name: str, z: float) -> attribution.FeatureMove:
    return attribution.FeatureMove(feature=name, move=_importances(z))


def _importances(z: float) -> attribution.ImportanceMove:
    windows = [attribution.WindowImportance(gfi=0.2, example_count=90)] * 2
    return attribution.ImportanceMove(windows=windows, shift=-0.1, noise=0.1 / z, z=z)


@pytest.fixture(autouse=True)
def _world(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_ADDRESS", platform.address)
    platform.runbook.incidents = [incident()]
    still_open = window_of(6)
    still_open.state = WindowState.WINDOW_STATE_OPEN
    platform.aggregator.windows = [
        still_open,
        window_of(5, anomalous=True),
        window_of(4, anomalous=True),
        window_of(3),
        window_of(2),
        window_of(1),
        window_of(0, digest="older"),
    ]
    for hour in range(1, 7):
        platform.aggregator.samples[name_of(hour), CONSIDERED] = [b"%d" % hour]
    platform.attribution.checkpoints = [
        Checkpoint(name="models/other/checkpoints/1", digest=DIGEST),
        Checkpoint(
            name="models/ads_ctr/checkpoints/7",
            digest=DIGEST,
            features=[
                Feature(name="age"),
                Feature(name="taste", members=["genres", "artists"]),
                Feature(name="hour"),
            ],
        ),
    ]
    nodes = [JOB, "feature:age", "feature:artists", "feature:elsewhere", "model:ads_ctr"]
    platform.lineage.surroundings = lineage.GetLineageResponse(
        nodes=[lineage.NodeAround(node=lineage_pb2.LineageNode(node=node)) for node in nodes]
    )
    platform.attribution.group = attribution.TestGroupResponse(
        joint=_importances(6.0), members=[move_of("age", 1.0), move_of("taste", 2.5)]
    )


def asked_of(platform: Platform) -> attribution.TestGroupRequest:
    request = platform.attribution.requests[-1]
    assert isinstance(request, attribution.TestGroupRequest)
    return request


def streams_of(request: attribution.TestGroupRequest) -> list[list[bytes]]:
    return [list(window.arrow_streams) for window in request.windows]


def test_a_pipeline_is_tested_on_the_newest_window_against_healthy_ones(
    platform: Platform, client: Client
) -> None:
    found = client.test_group([JOB])
    request = asked_of(platform)
    assert request.checkpoint == "models/ads_ctr/checkpoints/7"
    assert list(request.features) == ["age", "taste"]
    assert streams_of(request) == [[b"1"], [b"2"], [b"3"], [b"5"]]
    assert (found.window.name, found.control.name) == (name_of(5), name_of(3))
    assert [window.name for window in found.earlier] == [name_of(1), name_of(2)]
    assert found.result == platform.attribution.group
    asked = platform.lineage.requests[0]
    assert (asked.node, asked.as_of) == (JOB, stamp(2026, 11, 20, 6))
    assert asked.direction == lineage.LineageDirection.LINEAGE_DIRECTION_DOWNSTREAM


async def test_the_async_client_asks_the_same(platform: Platform) -> None:
    async with aio.Client(platform.address, model="ads_ctr", timeout=5.0) as client:
        found = await client.test_group([JOB], window=name_of(4), control=name_of(2), earlier=0)
    assert streams_of(asked_of(platform)) == [[b"2"], [b"4"]]
    assert (found.control.name, found.earlier) == (name_of(2), [])


def test_all_examples_are_of_one_population(platform: Platform, client: Client) -> None:
    samples = platform.aggregator.samples
    del samples[name_of(5), CONSIDERED]
    for hour in (5, 3):
        samples[name_of(hour), DISPLAYED] = [b"shown %d" % hour]
    client.test_group([JOB])
    assert streams_of(asked_of(platform)) == [[b"shown 3"], [b"shown 5"]]


def test_features_can_be_named(platform: Platform, client: Client) -> None:
    client.test_group(["feature:hour", "feature:genres"], earlier=1)
    assert list(asked_of(platform).features) == ["taste", "hour"]
    assert not platform.lineage.requests


def test_streams_are_thinned_to_what_one_request_takes(platform: Platform, client: Client) -> None:
    platform.aggregator.samples[name_of(5), CONSIDERED] = [b"%d" % n for n in range(130)]
    platform.aggregator.samples[name_of(3), CONSIDERED] = [bytes(12_000_000)] * 4
    client.test_group([JOB], earlier=0)
    control, window = streams_of(asked_of(platform))
    assert window == [b"%d" % n for n in range(0, 130, 3)]
    assert len(control) == 2


def test_what_cannot_be_tested_is_said(platform: Platform, client: Client) -> None:
    with pytest.raises(NotFound, match="makes 1: a group has two features"):
        client.test_group(["feature:age", "feature:elsewhere"])
    with pytest.raises(NotFound, match="keeps no models/ads_ctr/windows/then"):
        client.test_group([JOB], window="then")
    with pytest.raises(NotFound, match="another checkpoint"):
        client.test_group([JOB], control=name_of(0))
    with pytest.raises(NotFound, match="no examples are kept of any healthy window before"):
        client.test_group([JOB], window=name_of(1))
    del platform.aggregator.samples[name_of(2), CONSIDERED]
    with pytest.raises(NotFound, match=f"no examples are kept of {name_of(2)}"):
        client.test_group([JOB], control=name_of(2))
    del platform.aggregator.samples[name_of(5), CONSIDERED]
    with pytest.raises(NotFound, match="no examples are kept"):
        client.test_group([JOB])
    platform.attribution.checkpoints.pop()
    with pytest.raises(NotFound, match="no longer holds the checkpoint"):
        client.test_group([JOB])


def test_a_person_sees_what_shows_only_together(platform: Platform) -> None:
    shown = run("lineage", "group", JOB, "--model", "ads_ctr").stdout
    assert cells(shown, "all together") == ["all together", "0.2", "0.2", "-0.1", "0.0167", "6"]
    assert shown.index("taste") < shown.index("age")
    assert "Together they shifted 6 times the noise, and none of them alone." in shown
    assert "2026-11-20 05:00 (90 examples) against 2026-11-20 03:00 (90); noise from 2" in shown
    platform.attribution.group.members[0].move.z = 4.0
    assert "alone: age." in run("lineage", "group", JOB, "--model", "ads_ctr").stdout
    platform.attribution.group.joint.z = 1.0
    assert "no more than they do" in run("lineage", "group", JOB, "--model", "ads_ctr").stdout
    told = run_json("lineage", "group", JOB, "--model", "ads_ctr")["group_test"]
    assert told["control"]["name"] == name_of(3)
    assert [window["name"] for window in told["earlier"]] == [name_of(1), name_of(2)]
    assert told["result"]["joint"]["z"] == 1.0


def test_an_incident_says_which_model_and_window(platform: Platform) -> None:
    about = incident()
    about.model = "models/ads_ctr"
    about.comparison.anomaly.name = name_of(4)
    platform.runbook.incidents = [about]
    run("lineage", "group", JOB, "--around", about.name.removeprefix("incidents/"))
    assert streams_of(asked_of(platform))[-1] == [b"4"]
    run("lineage", "group", JOB, code=2)


def test_the_answer_is_public() -> None:
    assert "GroupTest" in aftershock.__all__
