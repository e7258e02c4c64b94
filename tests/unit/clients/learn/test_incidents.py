"""What mitigations teach: verified outcomes first, then what experts decided."""

from collections.abc import Mapping

import pytest

from aftershock.v1.incident_pb2 import Incident, Mitigation, MitigationKind
from clients.learn.incidents import lessons_of, trials_of
from clients.learn.trial import RECORDED
from tests.unit.clients.learn.records import FEATURES, incident, mitigation


def broken(*mitigations: Mitigation) -> Mapping[str, bool]:
    recorded = [incident(*mitigations)]
    (trial,) = trials_of(recorded, lessons_of(recorded))
    return trial.broken


@pytest.mark.parametrize("state", ["EFFECTIVE", "RELEASING", "RELEASED"])
def test_where_switching_off_helped_the_other_features_were_healthy(state: str) -> None:
    taught = broken(mitigation(1, state, "f1"))
    assert taught == {name: name == "f1" for name in FEATURES}


def test_a_rejection_speaks_of_its_features_only() -> None:
    assert broken(mitigation(1, "REJECTED", "f2", reason="a launch")) == {"f2": False}


@pytest.mark.parametrize("state", ["APPROVED", "APPLYING", "APPLIED", "VERIFYING"])
def test_an_unverified_approval_counts_half(state: str) -> None:
    recorded = [incident(mitigation(1, state, "f1"))]
    (trial,) = trials_of(recorded, lessons_of(recorded))
    assert trial.broken == {"f1": True}
    assert trial.weights == {"f1": RECORDED / 2}


def test_what_was_taken_back_because_it_did_not_help_was_not_broken() -> None:
    assert broken(mitigation(1, "REVERTED", "f3", verified=1.29)) == {"f3": False}


def test_what_is_verified_stands_against_what_was_decided() -> None:
    taught = broken(mitigation(1, "REJECTED", "f1"), mitigation(2, "EFFECTIVE", "f1"))
    assert taught["f1"]
    assert not taught["f2"]


def by_a_policy() -> Mitigation:
    approved = mitigation(1, "APPLIED", "f1")
    approved.approvers[:] = ["policy:threshold"]
    return approved


def rollback() -> Mitigation:
    done = mitigation(1, "EFFECTIVE")
    done.kind = MitigationKind.MITIGATION_KIND_CHECKPOINT_ROLLBACK
    return done


@pytest.mark.parametrize(
    "silent",
    [
        mitigation(1, "PROPOSED", "f1"),
        mitigation(1, "EXPIRED", "f1"),
        mitigation(1, "FAILED", "f1"),
        mitigation(1, "CONFLICTED", "f1"),
        mitigation(1, "REVERTED", "f1"),
        mitigation(1, "REVERTED", "f1", verified=1.05),
        by_a_policy(),
        rollback(),
    ],
)
def test_the_rest_teaches_nothing(silent: Mitigation) -> None:
    assert lessons_of([incident(silent)]) == []


def test_an_incident_without_a_comparison_teaches_nothing() -> None:
    bare = Incident(name="incidents/INC-2", mitigations=[mitigation(1, "EFFECTIVE", "f1")])
    assert lessons_of([bare]) == []
