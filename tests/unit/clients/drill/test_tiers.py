"""The world of two tiers: what breaks, when, and that its lineage file tells the truth."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from aftershock._lineage_file import read_lineage_file
from clients.drill.tiers import demo
from clients.drill.tiers.models import TIERS, Tier, downstream
from clients.drill.tiers.population import Fault, Population

START = datetime(2026, 11, 20, tzinfo=UTC)
BREAK = 3


def population(fault: Fault | None) -> Population:
    return Population(START, BREAK, fault, people=200)


def changed(tier: Tier, fault: Fault | None, hour: int) -> set[str]:
    """Which columns differ from what they would be if nothing were broken."""
    world = population(fault)
    meant = tier.examples(world, hour, 50, healthy=True)
    served = tier.examples(world, hour, 50, healthy=False)
    return {name for name in served.column_names if served[name] != meant[name]}


def test_columns_are_those_of_the_schema() -> None:
    for tier in TIERS:
        columns = tier.examples(population(None), 0, 5, healthy=True).column_names
        assert tuple(columns) == tier.schema.names()


@pytest.mark.parametrize("fault", [None, *Fault])
def test_nothing_is_broken_before_the_break(fault: Fault | None) -> None:
    for tier in TIERS:
        assert changed(tier, fault, BREAK - 1) == set()


def test_a_broken_pipeline_reaches_the_second_tier_an_hour_later() -> None:
    tower, *others = TIERS
    assert len(changed(tower, Fault.PIPELINE, BREAK)) == 7
    for tier in others:
        assert changed(tier, Fault.PIPELINE, BREAK) == set()
        expected = {"user_score", "user_embedding"} if tier in downstream() else set()
        assert changed(tier, Fault.PIPELINE, BREAK + 1) == expected


def test_a_broken_encoder_is_seen_downstream_alone() -> None:
    for hour in (BREAK, BREAK + 1):
        assert changed(TIERS[0], Fault.MODEL, hour) == set()
    for tier in downstream():
        assert changed(tier, Fault.MODEL, BREAK + 1) == {"user_embedding"}


def test_hours_are_the_same_every_time_and_differ_from_each_other() -> None:
    world = population(None)
    assert np.array_equal(world.profile(2), population(None).profile(2))
    assert not np.array_equal(world.profile(2), world.profile(1))


def test_the_lineage_file_tells_what_the_models_take() -> None:
    request = read_lineage_file(Path(demo.__file__).with_name("lineage.yaml")).request
    edges = {(edge.source, edge.target) for edge in request.edges}
    for tier in TIERS:
        model = f"model:{tier.name}"
        fed = {source.removeprefix("feature:") for source, target in edges if target == model}
        assert fed == set(tier.schema.names())
        for feature in fed:
            assert any(target == f"feature:{feature}" for _, target in edges), feature
