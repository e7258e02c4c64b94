"""Rules from YAML, and what is said of mistakes in them."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.yaml_policies import YamlPolicies
from services.runbook.domain.case import Case
from services.runbook.domain.conclusion import VerificationTerms
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.domain.facts import Facts, finding_facts
from services.runbook.domain.guardrail import FreezeWindow, GuardRails, Quorum
from services.runbook.domain.lease import LeaseTerms
from services.runbook.domain.policy import Action, Mode, Rules
from tests.unit.services.runbook.builders import BROKEN, MODEL, comparison, finding, shift, window

CORRUPTION = IncidentVerdict.FEATURE_CORRUPTION
REFERENCE = Path(__file__).parents[5] / "docs" / "reference" / "policies.md"
DEFAULT = Path(__file__).parents[5] / "deploy" / "policies" / "threshold.yaml"
POLICY = """
policies:
  - name: {name}
    mode: observe
    action: kill_switch
    when: "true"
    features: shift.rank == 1
    propose_if: "true"
"""
ON_FINDINGS = """
policies:
  - name: a
    mode: {mode}
    action: {action}
    when: finding.severity > 0.2 && finding.z > 6
"""


def rules(path: Path) -> Rules:
    return YamlPolicies(path, CelConditions()).current()


def test_the_default_policy_selects_the_one_broken_feature() -> None:
    default = rules(DEFAULT)
    (policy,) = default.policies
    assert policy.mode is Mode.SUGGEST
    assert default.verification.windows == 2
    shifts = [
        shift("user_embedding", 1, 1.18, z=60.0),
        shift("item_embedding", 2, 0.2, z=11.0),
        shift("age", 3, 0.004, z=1.0),
    ]
    case = Case(
        MODEL,
        IncidentVerdict.FEATURE_CORRUPTION,
        comparison(1, shifts=shifts),
        window(1, BROKEN),
        1,
        frozenset(),
    )
    assert policy.select(case).features == ("user_embedding",)


def test_the_default_policy_selects_two_that_stand_alone() -> None:
    shifts = [shift("v3", 1, 1.18, z=60.0), shift("v2", 2, 0.63, z=30.0), shift("age", 3, 0.01)]
    case = Case(
        MODEL,
        IncidentVerdict.FEATURE_CORRUPTION,
        comparison(1, shifts=shifts),
        window(1, BROKEN),
        1,
        frozenset(),
    )
    assert rules(DEFAULT).policies[0].select(case).features == ("v3", "v2")


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "20.yaml").write_text(POLICY.format(name="second"))
    (tmp_path / "10.yml").write_text(POLICY.format(name="first"))
    (tmp_path / "30.yaml").write_text(
        "guard_rails: {never_kill: [bid], most_features_at_once: 1}\nverification: {windows: 3}"
    )
    (tmp_path / "notes.txt").write_text("not a policy")
    read = rules(tmp_path)
    assert [policy.name for policy in read.policies] == ["first", "second"]
    assert read.guard_rails.never_kill == ("bid",)
    assert read.guard_rails.most_features_at_once == 1
    assert read.verification.windows == 3


def test_no_policy_at_all_only_opens_incidents(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert rules(tmp_path).policies == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("policies: [", "no YAML"),
        ("- a", "the whole file"),
        ("polices: []", "polices: Extra inputs"),
        ("policies: [{name: a}]", r"policy.yaml:1: policies\[0\].action: Field required"),
        (POLICY.format(name="A b"), r"policies\[0\].name"),
        (POLICY.format(name="a").replace("observe", "act"), r"policies\[0\].mode"),
        (POLICY.format(name="a").replace("kill_switch", "pray"), r"policies\[0\].action"),
        (
            POLICY.format(name="a").replace("shift.rank == 1", "shift.rnk == 1"),
            r"policies\[0\].features: 'shift.rnk == 1' uses rnk",
        ),
        (
            POLICY.format(name="a").replace('when: "true"', "when: preview.available"),
            r"policies\[0\].when: .* uses preview",
        ),
        (POLICY.format(name="a") + POLICY.format(name="a")[11:], r"policies\[1\].name: a is taken"),
        (
            ON_FINDINGS.format(action="quarantine_rows", mode="apply"),
            "what an audit found is a suspicion",
        ),
        (ON_FINDINGS.format(action="mask_ids", mode="apply"), "a person decides"),
        (ON_FINDINGS.format(action="rebalance_rows", mode="apply"), "a person decides"),
        (
            ON_FINDINGS.format(action="mask_ids", mode="suggest").replace("finding.z", "finding.y"),
            r"policies\[0\].when: .* uses y",
        ),
        (
            ON_FINDINGS.format(action="mask_ids", mode="suggest").replace("> 6", "> 'x'"),
            r"policies\[0\].when",
        ),
        (
            POLICY.format(name="a").replace('when: "true"', "when: finding.z > 6"),
            r"policies\[0\].when: .* uses finding",
        ),
        (
            ON_FINDINGS.format(action="mask_ids", mode="suggest") + "    features: shift.rank == 1",
            "no other action takes it",
        ),
        (
            "audit: {open_incident_when: calibration.ratio > 1}",
            r"policy.yaml:1: audit.open_incident_when: .* uses calibration",
        ),
        ("audit: {open_incident_when: finding.severity}", "neither true nor false"),
        ("audit: {open: always}", "audit.open: Extra inputs"),
        (
            "guard_rails: {freeze_windows: [{start: 2026-11-27T00:00:00Z, "
            "end: 2026-11-27T00:00:00Z, reason: sale}]}",
            r"guard_rails.freeze_windows\[0\]: .*ends before it starts",
        ),
        ("guard_rails: {most_features_at_once: 0}", "guard_rails.most_features_at_once"),
        ("guard_rails: {cool_down_minutes: -1}", "guard_rails.cool_down_minutes"),
        ("guard_rails: {quorum: [{features: 3, approvers: 1}]}", r"quorum\[0\].approvers"),
        ("guard_rails: {quorum: [{approvers: 2}]}", "from which blast radius on"),
        ("lease: {stages: [10, 1, 100]}", "grow to 100"),
        ("lease: {stages: [1, 10]}", "grow to 100"),
        ("approval: {escalation: [{after_minutes: 0, to: me}]}", "after_minutes"),
        (
            "approval: {escalation: [{after_minutes: 1, to: me}, {after_minutes: 2, to: me}]}",
            "somebody is called twice",
        ),
        ("verification: {windows: none}", "verification.windows"),
    ],
)
def test_mistakes_are_told_with_file_and_path(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(InvalidPolicy, match=complaint) as refusal:
        rules(file)
    assert str(file) in str(refusal.value)


def test_every_limit_is_configured_in_one_place(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        """
guard_rails:
  most_features_killed_of_model: 4
  cool_down_minutes: 1.5
  daily_budget: 7
  most_labels_at_once: 2
  most_ids_masked_of_model: 9
  quorum: [{features: 3, approvers: 2}, {examples: 1000, features: 9, approvers: 3}]
verification: {windows: 3, ask_after_minutes: 60}
approval: {escalation: [{after_minutes: 20, to: head}, {after_minutes: 10, to: second line}]}
lease: {hours: 2, reapproval_minutes: 30, stages: [50, 100], rows_hours: 48}
"""
    )
    read = rules(file)
    assert read.guard_rails == GuardRails(
        most_features_killed_of_model=4,
        cool_down=timedelta(seconds=90),
        daily_budget=7,
        most_labels_at_once=2,
        most_ids_masked_of_model=9,
        quorums=(Quorum(2, features=3), Quorum(3, features=9, examples=1000)),
    )
    assert read.verification == VerificationTerms(3, timedelta(hours=1))
    assert [(step.after, step.to) for step in read.escalation] == [
        (timedelta(minutes=10), "second line"),
        (timedelta(minutes=20), "head"),
    ]
    assert read.lease == LeaseTerms(
        timedelta(hours=2), timedelta(minutes=30), (50, 100), timedelta(hours=48)
    )


@pytest.mark.parametrize("action", ["mask_ids", "quarantine_rows", "rebalance_rows"])
def test_conditions_on_findings_choose_them(tmp_path: Path, action: str) -> None:
    (tmp_path / "policy.yaml").write_text(ON_FINDINGS.format(action=action, mode="suggest"))
    (policy,) = rules(tmp_path).policies
    calm = replace(finding("2"), lean=None)
    known = (finding("1"), calm, finding("3", severity=0.9), finding("4", severity=0.1))
    case = Case(MODEL, CORRUPTION, None, window(1, BROKEN), 1, frozenset(), findings=known)
    assert [found.label for found in policy.findings_of(case)] == ["3", "1"]
    assert policy.select(case).features == ()


def test_what_is_left_out_has_the_domains_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    read = rules(tmp_path)
    assert (read.guard_rails, read.lease) == (GuardRails(), LeaseTerms())


def test_the_shown_policies_can_be_followed(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), flags=re.DOTALL)
    actions = set()
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(block)
        actions |= {policy.action for policy in rules(tmp_path / f"{number}.yaml").policies}
    assert actions >= {Action.KILL_SWITCH, Action.MASK_IDS, Action.QUARANTINE_ROWS}


def test_which_findings_open_incidents(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("audit: {open_incident_when: finding.severity > 0.3}")
    opening = rules(tmp_path).open_incident_when
    assert opening is not None
    for severity, opens in ((0.4, True), (0.2, False)):
        facts: Facts = {"model": "m", "finding": finding_facts(finding(severity=severity))}
        assert opening.holds(facts) is opens
    (tmp_path / "b.yaml").write_text("audit: {}")
    with pytest.raises(InvalidPolicy, match="audit may be given once only"):
        rules(tmp_path)
    (tmp_path / "a.yaml").unlink()
    assert rules(tmp_path).open_incident_when is None


def test_freeze_windows_are_times_with_a_zone(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    entry = "guard_rails: {{freeze_windows: [{{start: {}, end: {}, reason: sale}}]}}"
    file.write_text(entry.format("'2026-11-27T01:00:00+01:00'", "2026-11-30T00:00:00Z"))
    (window,) = rules(file).guard_rails.freeze_windows
    start, end = datetime(2026, 11, 27, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)
    assert window == FreezeWindow(start, end, "sale")
    file.write_text(entry.format("2026-11-27T00:00:00", "2026-11-30T00:00:00"))
    with pytest.raises(InvalidPolicy, match="timezone"):
        rules(file)


def test_guard_rails_are_given_once(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("guard_rails: {never_kill: [bid]}")
    with pytest.raises(InvalidPolicy, match=r"a.yaml and .*b.yaml: guard_rails"):
        rules(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(InvalidPolicy, match="no policy file"):
            rules(path)
