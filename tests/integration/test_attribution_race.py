"""Races over real gRPC: standings for batches, and races that cannot be run are refused."""

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import example_pb2
from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.lfi import LfiMethod
from services.attribution.engine.compiler import compiled
from services.attribution.explain import Explain
from services.attribution.ports import Ablator
from tests.checkpoints import SCHEMA, random_examples
from tests.unit.services.attribution.predictors import small_predictor
from tests.unit.services.attribution.races import full_gfi
from tests.unit.services.attribution.serving import (
    NAME,
    ServedAttribution,
    Stub,
    answers,
    batch,
    failure,
    field_of,
    reason,
)

EXAMPLES = random_examples(count=8000, seed=11)
BATCHES = [batch(str(i), EXAMPLES.take(np.arange(i, 8000, 20))) for i in range(20)]


@cache
def _compiled(predictor: TorchPredictor) -> Ablator:
    return compiled(predictor.program, predictor.checkpoint)


@pytest_asyncio.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Stub]:
    async with ServedAttribution(tmp_path, None, ablators=_compiled) as served:
        yield served


def options(
    delivery: pb.Delivery.ValueType = pb.DELIVERY_CALLER, **racing: Any
) -> pb.ComputeLfiRequest:
    asked = pb.Racing(**{"top_k": 5, "confidence": 0.75, **racing})
    chosen = pb.ComputeLfiOptions(checkpoint=NAME, delivery=delivery, racing=asked)
    return pb.ComputeLfiRequest(options=chosen)


def names(standing: pb.RaceStanding, *outcomes: pb.RaceOutcome.ValueType) -> set[str]:
    return {f.feature for f in standing.features if f.outcome in outcomes}


async def test_a_race_is_settled_and_finds_the_full_answers_top(stub: Stub) -> None:
    before = REGISTRY.get_sample_value("aftershock_pairs_total", {"way": "raced_out"}) or 0
    responses = await answers(stub, [options(), *BATCHES])
    assert [r.batch_id for r in responses] == [str(i) for i in range(20)]
    standings = [r.standing for r in responses]
    assert [s.example_count for s in standings] == [400 * (i + 1) for i in range(20)]
    last = standings[-1]
    assert last.settled
    lfis = (
        Explain(_compiled(small_predictor("dots")), LfiMethod.PSEUDO_LOSS)(EXAMPLES)
        .dense()
        .astype(np.float32)
    )
    gfi = full_gfi(lfis)
    top = {SCHEMA.features[j].name for j in np.argsort(gfi)[-5:]}
    assert names(last, pb.RACE_OUTCOME_TOP) == top == {f.feature for f in last.features[:5]}
    assert {f.feature for f in last.features} == {f.name for f in SCHEMA.features}
    for feature in last.features:
        assert feature.gfi_lower <= feature.gfi <= feature.gfi_upper
        assert feature.example_count <= last.example_count
    assert last.pairs_ablated + last.pairs_saved == EXAMPLES.present_counts().sum()
    saved = REGISTRY.get_sample_value("aftershock_pairs_total", {"way": "raced_out"}) or 0
    assert saved - before == last.pairs_saved > 0


async def test_an_open_race_says_so(stub: Stub) -> None:
    (response,) = await answers(stub, [options(), batch("a", EXAMPLES.part(0, 5))])
    assert not response.standing.settled
    assert names(response.standing, pb.RACE_OUTCOME_OPEN) == {f.name for f in SCHEMA.features}
    assert response.standing.pairs_saved == 0
    assert all(f.gfi_upper == np.inf for f in response.standing.features)


async def test_a_bad_batch_does_not_count(stub: Stub) -> None:
    other = batch("other", EXAMPLES.part(0, 5))
    other.batch.population = example_pb2.POPULATION_DISPLAYED
    requests = [options(), BATCHES[0], batch("bad", b"nonsense"), other, BATCHES[1]]
    first, bad, mixed, last = await answers(stub, requests)
    assert first.standing.example_count == 400
    assert reason(bad.error) == "MALFORMED_ARROW"
    assert field_of(mixed.error) == "batch.population"
    assert last.standing.example_count == 800


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (options(pb.DELIVERY_AGGREGATOR), "options.racing"),
        (options(pb.DELIVERY_BOTH), "options.racing"),
        (options(top_k=len(SCHEMA.features)), "options.racing.top_k"),
        (options(top_k=0), "options.racing.top_k"),
        (options(confidence=1.0), "options.racing.confidence"),
        (options(confidence=float("nan")), "options.racing.confidence"),
        (options(least_coverage=-0.1), "options.racing.least_coverage"),
    ],
)
async def test_a_race_that_cannot_be_run_is_refused(
    stub: Stub, request_: pb.ComputeLfiRequest, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(stub, [request_])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field_of(failure(caught.value)) == field


async def test_races_of_two_streams_are_two_races(stub: Stub) -> None:
    both = await asyncio.gather(*(answers(stub, [options(), *BATCHES[:count]]) for count in (2, 3)))
    assert [responses[-1].standing.example_count for responses in both] == [800, 1200]
