"""A plan's digest says what would be done, and nothing else."""

import hashlib

import pytest

from services.runbook.domain.plan import MitigationKind, Plan
from tests.unit.services.runbook.builders import MODEL

PLAN = Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("b", "a"))


def test_the_hash_is_that_of_canonical_json() -> None:
    canonical = (
        '{"features":["a","b"],"incident":"INC-1","kind":"KILL_SWITCH","model":"models/ads_ctr"}'
    )
    assert PLAN.hash == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_order_of_features_is_no_part_of_it() -> None:
    assert PLAN.hash == Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("a", "b")).hash


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
