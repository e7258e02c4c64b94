"""The SDK's race against a real attribution service."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import pytest_asyncio

from aftershock import Client, Conflict, InvalidRequest, SchemaMismatch, aio
from aftershock.v1.attribution_service_pb2 import RaceOutcome, RaceStanding, Racing
from services.attribution.domain.lfi import LfiMethod
from services.attribution.explain import Explain
from tests.checkpoints import SCHEMA, TRAINED_UNTIL, arrow_table, random_examples
from tests.unit.services.attribution.predictors import plain, small_predictor
from tests.unit.services.attribution.races import full_gfi
from tests.unit.services.attribution.serving import LATER, ServedAttribution

EXAMPLES = random_examples(count=8000, seed=11)
TABLE = arrow_table(EXAMPLES)
RACING = Racing(top_k=5, confidence=0.75)


@pytest_asyncio.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    served = ServedAttribution(tmp_path, None)
    async with served:
        yield served.address


def top(standing: RaceStanding) -> set[str]:
    return {f.feature for f in standing.features if f.outcome == RaceOutcome.RACE_OUTCOME_TOP}


async def race(address: str, examples: Any = TABLE, **options: Any) -> RaceStanding:
    with Client(address, model="ads_ctr") as client:
        chosen = {"racing": RACING, "event_time": LATER, **options}
        return await asyncio.to_thread(client.race, examples, **chosen)


async def test_it_finds_what_ablating_everything_finds(address: str) -> None:
    standing = await race(address)
    lfis = Explain(plain(small_predictor("dots")), LfiMethod.PSEUDO_LOSS)(EXAMPLES).dense()
    best = np.argsort(full_gfi(lfis.astype(np.float32)))[-5:]
    assert standing.settled
    assert top(standing) == {SCHEMA.features[j].name for j in best}
    assert standing.example_count == EXAMPLES.count
    assert standing.pairs_saved > standing.pairs_ablated
    async with aio.Client(address, model="ads_ctr") as client:
        again = await client.race(TABLE, racing=RACING, event_time=LATER)
    assert again == standing


async def test_the_order_is_the_seeds_and_not_the_callers(address: str) -> None:
    some = TABLE.slice(0, 1200)
    # Sorted by a feature, the first batches alone would be another population.
    ordered = some.sort_by("hour")
    first, same, other = [(await race(address, ordered, seed=seed)).features for seed in (1, 1, 2)]
    assert list(first) == list(same)
    assert list(first) != list(other)


async def test_what_is_wrong_is_told(address: str) -> None:
    few = TABLE.slice(0, 10)
    with pytest.raises(InvalidRequest, match="13 features") as caught:
        await race(address, few, racing=Racing(top_k=13, confidence=0.9))
    assert [v.field for v in caught.value.violations] == ["options.racing.top_k"]
    with pytest.raises(SchemaMismatch, match="hour"):
        await race(address, few.drop_columns(["hour"]))
    with pytest.raises(Conflict, match="has seen data"):
        await race(address, few, event_time=TRAINED_UNTIL - timedelta(days=1))
    with pytest.raises(InvalidRequest, match="finite"):
        await race(address, few.set_column(1, "hour", pa.array([float("nan")] * 10)))
    with pytest.raises(ValueError, match="seen"):
        await race(address, few, population="seen")
    with pytest.raises(ValueError, match="time zone"):
        await race(address, few, event_time=LATER.replace(tzinfo=None))


async def test_a_busy_service_is_asked_again(tmp_path: Path) -> None:
    served = ServedAttribution(tmp_path, None, most_waiting=1)
    async with served:
        three = await asyncio.gather(
            *(race(served.address, TABLE.slice(0, 1200)) for _ in range(3))
        )
    assert [standing.example_count for standing in three] == [1200] * 3
