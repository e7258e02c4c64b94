"""The kill-switch guard: what the runbook says, and never less."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aftershock import ConfigurationError
from aftershock._flags import switches
from aftershock._murmur import murmur3
from aftershock.serving import KillSwitchGuard
from tests.unit.clients.aftershock.recording import FlagSync, Served


def flags(*features: str, model: str = "ads_ctr", **changes: Any) -> str:
    flag = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "on",
    } | changes
    return json.dumps({"flags": {f"aftershock.kill.{model}.{f}": flag for f in features}})


def masks(model: str = "ads_ctr", **ids: list[str]) -> str:
    """The flags of features that are served without some ids."""
    return json.dumps(
        {
            "flags": {
                f"aftershock.mask.{model}.{feature}": {
                    "state": "ENABLED",
                    "variants": {"masked": {"ids": some}, "whole": {"ids": []}},
                    "defaultVariant": "masked",
                }
                for feature, some in ids.items()
            }
        }
    )


def shared(percent: int, seed: str = "incidents/INC-1/mitigations/1") -> dict[str, Any]:
    """The targeting that the runbook writes."""
    bucket = {"cat": [seed, {"var": "targetingKey"}]}
    share = {"fractional": [bucket, ["off", percent], ["on", 100 - percent]]}
    return {"if": [{"var": "targetingKey"}, share, "on"]}


def eventually(condition: Any) -> None:
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.fixture
def sync() -> FlagSync:
    return FlagSync(flags())


@pytest.fixture
def served(sync: FlagSync) -> Iterator[Served]:
    served = Served(sync)
    yield served
    served.kill()


@pytest.fixture
def guard(served: Served) -> Iterator[KillSwitchGuard]:
    with KillSwitchGuard(served.address, model="ads_ctr") as guard:
        assert guard.wait_ready(10.0)
        yield guard


def test_it_follows_kills_and_releases(sync: FlagSync, guard: KillSwitchGuard) -> None:
    assert guard.killed == frozenset()
    sync.publish(flags("a", "b.c"))
    eventually(lambda: guard.killed == {"a", "b.c"})
    assert guard.is_killed("a")
    assert not guard.is_killed("z")
    sync.publish(flags("a"))
    eventually(lambda: guard.killed == {"a"})
    assert sync.requests[0].selector == "ads_ctr"


def test_nothing_killed_costs_nothing(guard: KillSwitchGuard) -> None:
    features = {"a": 1.0}
    assert guard.apply(features, {"a": 0.0}) is features


def test_a_killed_feature_is_served_at_its_baseline(
    sync: FlagSync, guard: KillSwitchGuard, caplog: pytest.LogCaptureFixture
) -> None:
    sync.publish(flags("a", "no_baseline", "not_here"))
    eventually(lambda: guard.killed)
    features = {"a": 1.0, "b": 2.0, "no_baseline": 3.0}
    for _ in range(2):
        applied = guard.apply(features, {"a": 0.0, "b": 0.0, "not_here": 0.0})
        assert applied == {"a": 0.0, "b": 2.0, "no_baseline": 3.0}
    assert features["a"] == 1.0
    assert [r.message for r in caplog.records if "no baseline" in r.message] == [
        "no baseline of no_baseline: it stays as it is"
    ]


def test_masked_ids_are_left_out_and_everything_else_is_as_usual(
    sync: FlagSync, guard: KillSwitchGuard, caplog: pytest.LogCaptureFixture
) -> None:
    sync.publish(masks(watched=["4711", "12"], age=["3"], elsewhere=["1"]))
    eventually(lambda: guard.masked)
    assert guard.masked == {"watched": {4711, 12}, "age": {3}, "elsewhere": {1}}
    assert guard.killed == frozenset()
    request: dict[str, Any] = {"watched": [7, 4711, 9], "bought": [4711], "age": 3.5}
    for _ in range(2):
        assert guard.apply(request, {}) == {"watched": [7, 9], "bought": [4711], "age": 3.5}
    assert request["watched"] == [7, 4711, 9]
    assert guard.apply({"watched": [12]}, {}) == {"watched": []}
    for untouched in ({"bought": [4711]}, {"watched": [1, 2]}):
        assert guard.apply(untouched, {}) is untouched
    assert [r.message for r in caplog.records if "stay as they are" in r.message] == [
        "ids of age stay as they are: a float is no list of ids"
    ]
    sync.publish(flags())
    eventually(lambda: not guard.masked)
    assert guard.apply(request, {}) is request


def test_a_killed_feature_needs_no_mask(sync: FlagSync, guard: KillSwitchGuard) -> None:
    document = json.loads(flags("watched", targeting=shared(40)))
    document["flags"] |= json.loads(masks(watched=["4711"], model="ads_ctr"))["flags"]
    document["flags"] |= json.loads(masks(watched=["1"], model="other"))["flags"]
    sync.publish(json.dumps(document))
    eventually(lambda: guard.masked)
    request = {"watched": [1, 4711]}
    served = {str(guard.apply(request, {"watched": []}, key=f"user{k}")) for k in range(50)}
    # Whoever is served the feature again is served it without the id.
    assert served == {"{'watched': []}", "{'watched': [1]}"}


@pytest.mark.parametrize(
    "changes",
    [{"state": "DISABLED"}, {"defaultVariant": "whole"}],
)
def test_which_flags_mask(changes: dict[str, str]) -> None:
    document = json.loads(masks(watched=["4711"]))
    assert switches(json.dumps(document), "ads_ctr").masked == {"watched": {4711}}
    document["flags"]["aftershock.mask.ads_ctr.watched"] |= changes
    assert switches(json.dumps(document), "ads_ctr").nothing


def test_masks_of_features_that_are_not_served_here_are_left_out(
    sync: FlagSync, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    sync.publish(masks(watched=["1"], stranger=["2"]))
    with KillSwitchGuard(served.address, model="ads_ctr", features=["watched"]) as guard:
        assert guard.wait_ready(10.0)
        assert guard.masked == {"watched": {1}}
    assert "stranger" in caplog.text


def test_a_dead_runbook_never_switches_a_feature_back_on(
    sync: FlagSync, served: Served, guard: KillSwitchGuard, caplog: pytest.LogCaptureFixture
) -> None:
    sync.publish(flags("a"))
    eventually(lambda: guard.killed)
    served.kill()
    eventually(lambda: "cannot be reached" in caplog.text)
    assert guard.killed == {"a"}
    back = FlagSync(flags("a", "b"))
    served.start(back)
    eventually(lambda: guard.killed == {"a", "b"})
    assert len(back.requests) == 1
    caplog.clear()
    served.kill()
    eventually(lambda: "cannot be reached" in caplog.text)


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"flags": 1}',
        '{"flags": null}',
        masks(watched=["no number"]),
        '{"flags": {"aftershock.mask.ads_ctr.f": {"state": "ENABLED"}}}',
    ],
)
def test_a_configuration_that_cannot_be_read_changes_nothing(
    sync: FlagSync, guard: KillSwitchGuard, nonsense: str, caplog: pytest.LogCaptureFixture
) -> None:
    sync.publish(flags("a"))
    eventually(lambda: guard.killed)
    sync.publish(nonsense)
    eventually(lambda: "stay as they are" in caplog.text)
    assert guard.killed == {"a"}
    sync.publish(flags("b"))
    eventually(lambda: guard.killed == {"b"})


def test_on_change_is_told_and_may_fail(sync: FlagSync, served: Served) -> None:
    told: list[frozenset[str]] = []

    def on_change(killed: frozenset[str]) -> None:
        told.append(killed)
        raise RuntimeError("the caller's own fault")

    with KillSwitchGuard(served.address, model="ads_ctr", on_change=on_change) as guard:
        assert guard.wait_ready(10.0)
        sync.publish(flags("a"))
        eventually(lambda: told)
        sync.publish(flags("a", "b"))
        eventually(lambda: len(told) == 2)
    assert told == [{"a"}, {"a", "b"}]


def test_features_that_are_not_served_here_are_left_out(
    sync: FlagSync, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    sync.publish(flags("a", "stranger"))
    with KillSwitchGuard(served.address, model="models/ads_ctr", features=["a", "b"]) as guard:
        assert guard.wait_ready(10.0)
        assert guard.killed == {"a"}
    assert "stranger" in caplog.text


def test_a_killed_group_is_served_with_each_member_at_its_baseline(
    sync: FlagSync, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    sync.publish(flags("profile", "a"))
    values, baselines = {"age": 30, "ids": [1], "a": 5, "b": 6}, {"age": 0, "ids": [], "a": 0}
    with KillSwitchGuard(
        served.address,
        model="ads_ctr",
        features=values,
        groups={"profile": ["age", "ids"], "other": ["b"]},
    ) as guard:
        assert guard.wait_ready(10.0)
        assert guard.killed == {"age", "ids", "a"}
        assert guard.is_killed("ids")
        assert guard.apply(values, baselines) == {"age": 0, "ids": [], "a": 0, "b": 6}
        sync.publish(flags("a"))
        eventually(lambda: guard.killed == {"a"})
    assert "not served here" not in caplog.text


def test_a_group_comes_back_whole_but_for_what_is_killed_on_its_own() -> None:
    document = json.loads(flags("profile", targeting=shared(40)))
    document["flags"] |= json.loads(flags("ids"))["flags"]
    found = switches(json.dumps(document), "ads_ctr")
    members = found.of_members({"profile": frozenset({"age", "name", "ids"})})
    assert members.killed == {"age", "name", "ids"}
    of_users = {members.killed_for(f"user{k}") for k in range(50)}
    assert of_users == {frozenset({"ids"}), frozenset({"age", "name", "ids"})}


def test_a_runbook_that_comes_later_is_found(sync: FlagSync) -> None:
    served = Served(sync)
    served.kill()
    with KillSwitchGuard(served.address, model="ads_ctr") as guard:
        assert not guard.wait_ready(0.1)
        sync.publish(flags("a"))
        served.start()
        assert guard.wait_ready(20.0)
        assert guard.killed == {"a"}
    served.kill()


def test_closing_leaves_no_thread_and_keeps_what_is_killed(
    sync: FlagSync, guard: KillSwitchGuard
) -> None:
    sync.publish(flags("a"))
    eventually(lambda: guard.killed)
    guard.close()
    assert guard.killed == {"a"}
    assert not [t for t in threading.enumerate() if t.name == "aftershock-guard"]


def test_it_needs_an_address() -> None:
    with pytest.raises(ConfigurationError, match="AFTERSHOCK_RUNBOOK_ADDRESS"):
        KillSwitchGuard(model="m")


@pytest.mark.parametrize(
    ("configuration", "killed"),
    [
        (flags("a"), {"a"}),
        (flags("a", state="DISABLED"), set()),
        (flags("a", defaultVariant="off"), set()),
        (flags("a", variants={"on": "yes"}), set()),
        (flags("a", model="other"), set()),
        (flags(), set()),
    ],
)
def test_which_flags_kill(configuration: str, killed: set[str]) -> None:
    assert switches(configuration, "ads_ctr").killed == killed


def test_a_share_of_the_keys_is_served_again(sync: FlagSync, guard: KillSwitchGuard) -> None:
    sync.publish(flags("a", "b", targeting=shared(10)))
    eventually(lambda: guard.killed)
    keys = [f"user-{number}" for number in range(2000)]
    served = [key for key in keys if not guard.is_killed("a", key)]
    assert 140 < len(served) < 260
    # One request sees all features of a mitigation, or none.
    assert served == [key for key in keys if not guard.is_killed("b", key)]
    features, baselines = {"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 0.0}
    assert guard.apply(features, baselines, key=served[0]) is features
    other = next(key for key in keys if key not in served)
    assert guard.apply(features, baselines, key=other) == baselines
    # Who tells no request from another is among the last.
    assert guard.apply(features, baselines) == baselines
    assert guard.is_killed("a")


def test_a_share_only_grows(sync: FlagSync, guard: KillSwitchGuard) -> None:
    keys = [f"user-{number}" for number in range(500)]
    before: set[str] = set()
    for percent in (1, 10, 50, 99):
        sync.publish(flags("a", targeting=shared(percent)))
        eventually(lambda: guard.killed)
        wanted = switches(flags("a", targeting=shared(percent)), "ads_ctr").shares["a"]
        eventually(lambda: guard._switches.shares["a"] == wanted)  # noqa: B023
        now = {key for key in keys if not guard.is_killed("a", key)}
        assert before <= now
        before = now
    assert len(before) > 480


@pytest.mark.parametrize(
    "targeting",
    [
        {"if": [True, "off", "on"]},
        {"fractional": [["off", 50], ["on", 50]]},
        {"if": [{"var": "targetingKey"}, {"fractional": []}, "on"]},
        "nonsense",
    ],
)
def test_a_targeting_that_is_not_understood_kills_for_all(targeting: Any) -> None:
    found = switches(flags("a", targeting=targeting), "ads_ctr")
    assert found.killed_for("user-1") == {"a"}


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 0), (b"a", 0x3C2569B2), (b"abcd", 0x43ED676A), (b"hello, world", 0x149BBB7F)],
)
def test_the_hash_is_murmur3(data: bytes, value: int) -> None:
    assert murmur3(data) == value
