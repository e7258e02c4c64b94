"""What a policy would have done about the incidents on record."""

import json

import pytest

from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.yaml_policies import YamlRuleReader
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.domain.mitigation import MitigationState
from services.runbook.domain.preview import MissingPreview, Preview
from services.runbook.domain.replay import Replayed
from services.runbook.replay_policy import ReplayPolicy
from tests.unit.services.runbook.builders import (
    BROKEN,
    HEALTHY,
    NODE,
    Runbook,
    event,
    finding,
    on_findings,
    policy,
    rules,
    shift,
)

READER = YamlRuleReader(CelConditions())


def text(**changes: object) -> str:
    """A policy file, as YAML reads JSON."""
    entry = {
        "name": "strict",
        "mode": "suggest",
        "action": "kill_switch",
        "when": "calibration.anomalous",
        "features": "shift.rank == 1",
        "propose_if": "!preview.available || preview.recovery > 0.2",
    }
    return json.dumps({"policies": [entry | changes]})


async def replayed(runbook: Runbook, policy: str, *, limit: int = 100) -> list[Replayed]:
    return list(await ReplayPolicy(runbook.store, READER)("p.yaml", policy, None, limit))


async def a_day() -> Runbook:
    runbook = Runbook()
    await runbook.see(event(1, BROKEN))
    await runbook.say_no()
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    shifts = [shift("genres", 1, 0.9), shift("age", 2, 0.8), shift("zip", 3, 0.1)]
    await runbook.see(event(30, BROKEN, shifts=shifts))
    return runbook


async def test_what_audits_found_is_replayed_from_the_incident() -> None:
    runbook = await a_day()
    runbook.lineage.found = (finding(),)
    runbook.lineage.fed_by = {NODE: ["models/feed"]}
    runbook.rules.rules = rules(on_findings(), open_incident_when="true")
    await runbook.heed()
    await runbook.worker.drain()
    mask = json.dumps({"policies": [{"name": "m", "action": "mask_ids", "when": "finding.z > 6"}]})
    told = {each.incident.model: each for each in await replayed(runbook, mask)}
    assert told["models/feed"].would == "propose: serve genres without id 4711"
    mitigation = await runbook.mitigation(told["models/feed"].incident.id)
    assert told["models/feed"].preview == mitigation.preview
    # Another kind was not asked about then.
    rows = mask.replace("mask_ids", "quarantine_rows")
    told = {each.incident.model: each for each in await replayed(runbook, rows)}
    assert told["models/feed"].would.startswith("propose: leave rows of")
    assert told["models/feed"].preview == MissingPreview("nobody asked for these features then")


async def test_what_would_have_been_proposed_is_told_beside_what_was() -> None:
    runbook = await a_day()
    second, first = await replayed(runbook, text())
    assert first.would == "propose: switch off user_embedding"
    assert first.incident.mitigations[0].state is MitigationState.REJECTED
    assert isinstance(first.preview, Preview)
    assert second.draft is not None
    assert second.draft.plan.features == ("genres",)
    # It was one of the sets that were previewed for the proposal.
    assert isinstance(second.preview, Preview)
    others = text(features='shift.feature == "zip"')
    assert (await replayed(runbook, others))[0].preview == MissingPreview(
        "nobody asked for these features then"
    )


async def test_a_policy_that_would_have_done_nothing() -> None:
    runbook = await a_day()
    for each in await replayed(runbook, text(when="calibration.ratio > 9.0")):
        assert (each.draft, each.would) == (None, "No policy acts on it. This needs a person.")


async def test_an_observer_says_what_it_would_do_and_a_bad_preview_stops_it() -> None:
    runbook = await a_day()
    observed = (await replayed(runbook, text(mode="observe")))[1]
    assert observed.draft is not None
    assert observed.would.startswith("strict only observes. It would switch off user_embedding")
    stopped = (await replayed(runbook, text(propose_if="preview.recovery > 2.0")))[1]
    assert stopped.draft is None
    assert "would not help enough" in stopped.would


async def test_of_several_those_that_decide_go_first_and_observers_are_told_otherwise() -> None:
    runbook = await a_day()
    entries = [
        json.loads(text(name="watching", mode="observe"))["policies"][0],
        json.loads(text(when="calibration.ratio > 9.0"))["policies"][0],
    ]
    both = json.dumps({"policies": entries})
    assert (await replayed(runbook, both))[1].would.startswith("watching only observes.")
    entries[1]["when"] = "true"
    both = json.dumps({"policies": entries})
    assert (await replayed(runbook, both))[1].would == "propose: switch off user_embedding"


async def test_who_was_downstream_then_counts_now() -> None:
    runbook = Runbook()
    runbook.lineage.models = 4
    await runbook.see(event(1, BROKEN))
    (found,) = await replayed(runbook, text(when="lineage.known && lineage.blast_radius == 4"))
    assert found.draft is not None


async def test_applying_needs_the_preview_that_was_made() -> None:
    features = 'shift.feature in ["zip", "user_embedding"]'
    unseen, seen = await replayed(await a_day(), text(mode="apply", features=features))
    assert seen.would.startswith("apply: ")
    assert unseen.would.startswith("propose: ")


async def test_replaying_changes_nothing_and_stops_at_the_limit() -> None:
    runbook = await a_day()
    before = await runbook.incidents()
    assert len(await replayed(runbook, text(), limit=1)) == 1
    assert await runbook.incidents() == before


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"features": "shift.feature > 1"},
            r"policies\[0\].features: .*No such overload",
        ),
        ({"features": "shift.z"}, "neither true nor false"),
        ({"when": "calibration.anomalous && calibration.ratio"}, "overload|neither"),
        ({"propose_if": "preview.recovery > features"}, "No such overload"),
        ({"action": "annotate"}, "kill_switch needs"),
        ({"features": None}, "kill_switch needs"),
        ({"note": "x"}, "annotate and page say"),
        ({"to": "x"}, "page calls"),
        ({"action": "page", "features": None, "note": "x"}, "page calls"),
    ],
)
def test_wrong_types_show_before_an_incident_does(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidPolicy, match=problem):
        READER.read("p.yaml", text(**changes))


def test_every_mistake_is_told_with_its_line() -> None:
    wrong = "policies:\n- name: a\n  action: kill_switch\n  when: 1 +\n  features: shift.rnk > 1\n"
    second = "- name: a\n  action: rollback\n  when: preview.available\n"
    with pytest.raises(InvalidPolicy) as refusal:
        READER.read("p.yaml", wrong + second)
    lines = str(refusal.value).splitlines()
    assert [line.split(" ")[0] for line in lines if line.startswith("p.yaml")] == [
        "p.yaml:5:",
        "p.yaml:6:",
        "p.yaml:8:",
    ]


def test_aliases_are_not_followed() -> None:
    with pytest.raises(InvalidPolicy, match="aliases"):
        READER.read("p.yaml", "policies: &a []\nguard_rails: {never_kill: *a}\n")


async def test_how_earlier_incidents_ended_counts() -> None:
    strict, first = await replayed(await a_day(), text(when="history.false_alarms == 0"))
    assert (strict.draft is None, first.draft is None) == (True, False)
    (now, _) = await replayed(await a_day(), text(when="history.rejections == 1"))
    assert now.draft is not None


async def test_a_live_policy_sees_the_same_history() -> None:
    runbook = Runbook()
    runbook.rules.rules = rules(policy(when="history.incidents == 1 && lineage.blast_radius == 0"))
    await runbook.see(event(1, BROKEN))
    assert not (await runbook.incident()).mitigations
    await runbook.see(event(2, HEALTHY), event(3, HEALTHY))
    await runbook.see(event(30, BROKEN, shifts=[shift("genres", 1, 0.9)]))
    assert (await runbook.mitigation("INC-2")).plan.features == ("genres",)
