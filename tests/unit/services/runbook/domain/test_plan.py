"""A plan's digest says what would be done, and nothing else."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.suspect import SuspectLabel, is_id, masked_id
from tests.unit.services.runbook.builders import MODEL

LABEL = SuspectLabel("1", feature="f", node="dataset:a:b", outcome="1", share=0.9)
PLAN = Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("b", "a"))


def test_the_hash_is_that_of_canonical_json() -> None:
    canonical = (
        '{"features":["a","b"],"incident":"INC-1","kind":"KILL_SWITCH","model":"models/ads_ctr"}'
    )
    assert PLAN.hash == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_order_of_features_is_no_part_of_it() -> None:
    assert PLAN.hash == Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("a", "b")).hash


MASK = Plan("INC-1", MODEL, MitigationKind.ID_MASK, labels=(LABEL, replace(LABEL, label="2")))


def test_the_order_of_labels_is_none_either_and_what_they_say_is() -> None:
    assert MASK.hash == replace(MASK, labels=MASK.labels[::-1]).hash
    for change in ({"feature": "g"}, {"target_share": 0.2}, {"outcome": "0"}, {"node": "dataset"}):
        labels = (replace(LABEL, **change), MASK.labels[1])
        assert replace(MASK, labels=labels).hash != MASK.hash
    assert replace(MASK, kind=MitigationKind.ROW_QUARANTINE).hash != MASK.hash


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([("4711", "user_ids")], "serve user_ids without id 4711"),
        (
            [("2", "pages"), ("3", "user_ids"), ("1", "pages")],
            "serve pages without ids 2, 1 and user_ids without id 3",
        ),
    ],
)
def test_a_mask_in_words(labels: list[tuple[str, str]], told: str) -> None:
    suspects = tuple(SuspectLabel(label, feature=feature) for label, feature in labels)
    assert str(replace(MASK, labels=suspects)) == told


@given(st.integers(-(2**63), 2**63 - 1), st.text(min_size=1))
def test_a_masks_lever_tells_its_feature_and_id(number: int, feature: str) -> None:
    assert is_id(str(number))
    assert masked_id(SuspectLabel(str(number), feature).mask_lever) == (feature, str(number))


@pytest.mark.parametrize("label", ["", "dress", "1.5", "٣", str(2**63), "-"])
def test_what_is_no_id(label: str) -> None:
    assert not is_id(label)
    assert masked_id("user_embedding") is None


@pytest.mark.parametrize(
    "other",
    [
        Plan("INC-2", MODEL, MitigationKind.KILL_SWITCH, ("a", "b")),
        Plan("INC-1", "models/feed", MitigationKind.KILL_SWITCH, ("a", "b")),
        Plan("INC-1", MODEL, MitigationKind.CHECKPOINT_ROLLBACK, ("a", "b")),
        Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("a",)),
        Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("a,b",)),
    ],
)
def test_anything_else_is(other: Plan) -> None:
    assert other.hash != PLAN.hash
