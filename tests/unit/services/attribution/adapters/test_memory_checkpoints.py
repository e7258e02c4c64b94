"""Which checkpoint a name stands for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.attribution.adapters.memory_checkpoints import MemoryCheckpoints
from services.attribution.domain.errors import CheckpointNotFound, CheckpointRefused
from services.attribution.ports import Scorer
from tests.unit.services.attribution.predictors import FORMULA, Formula, plain


def scorer(
    version: str, days: int = 0, digest: str = "0", model: str = "formula", size: int = 0
) -> Scorer:
    checkpoint = replace(
        FORMULA,
        model=model,
        version=version,
        trained_until=FORMULA.trained_until + timedelta(days=days),
        digest=digest * 64,
    )
    predictor = Formula(lambda examples: examples.arrays["price"], checkpoint)  # type: ignore[arg-type,return-value]
    return Scorer(predictor, plain(predictor), size)


def test_a_models_name_stands_for_its_latest_checkpoint() -> None:
    checkpoints = MemoryCheckpoints()
    for version, days in (("b", 1), ("c", 2), ("a", 2), ("d", 0)):
        checkpoints.add(scorer(version, days))
    checkpoints.add(scorer("z", days=9, model="other"))
    assert checkpoints.get("models/formula").checkpoint.version == "a"
    assert checkpoints.get("models/formula/checkpoints/d").checkpoint.version == "d"
    assert checkpoints.names() == [
        "models/formula/checkpoints/a",
        "models/formula/checkpoints/b",
        "models/formula/checkpoints/c",
        "models/formula/checkpoints/d",
        "models/other/checkpoints/z",
    ]


def test_adding_twice_changes_nothing() -> None:
    checkpoints = MemoryCheckpoints()
    first = checkpoints.add(scorer("a"))
    assert checkpoints.add(scorer("a")) is first


def test_a_name_stands_for_one_digest() -> None:
    checkpoints = MemoryCheckpoints()
    first = checkpoints.add(scorer("a"))
    with pytest.raises(CheckpointRefused, match="a version of its own"):
        checkpoints.add(scorer("a", digest="1"))
    assert checkpoints.get("models/formula") is first


def test_what_is_not_there_is_said() -> None:
    checkpoints = MemoryCheckpoints()
    checkpoints.add(scorer("a"))
    checkpoints.remove("models/formula/checkpoints/a")
    for name in ("models/formula", "models/formula/checkpoints/a"):
        with pytest.raises(CheckpointNotFound, match=name):
            checkpoints.get(name)
    with pytest.raises(CheckpointNotFound):
        checkpoints.remove("models/formula/checkpoints/a")


def test_what_was_used_least_recently_gives_way() -> None:
    checkpoints = MemoryCheckpoints(budget_bytes=30)
    for version in "abc":
        checkpoints.add(scorer(version, size=10))
    with checkpoints.using("models/formula/checkpoints/a"):
        pass
    checkpoints.add(scorer("d", size=15))
    assert checkpoints.names() == ["models/formula/checkpoints/a", "models/formula/checkpoints/d"]


def test_an_older_checkpoint_does_not_stand_in_for_one_that_gave_way() -> None:
    checkpoints = MemoryCheckpoints(budget_bytes=20)
    checkpoints.add(scorer("new", days=2, size=10))
    checkpoints.add(scorer("old", days=1, size=10))
    checkpoints.add(scorer("other", model="other", size=10))
    with pytest.raises(CheckpointNotFound, match=r"new had to give way"):
        checkpoints.get("models/formula")
    assert checkpoints.add(scorer("new", days=2, size=10)).checkpoint.version == "new"
    assert checkpoints.get("models/formula").checkpoint.version == "new"
    checkpoints.remove("models/formula/checkpoints/old")
