"""What values looked like, from attribution's arrays to what a person reads."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import protovalidate
import pytest
from numpy.typing import NDArray

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1.importance_pb2 import FeatureProfile, LfiBlock, Quantity
from aftershock.v1.shift_pb2 import RankBy
from services.aggregator.adapters.incoming import block_of, checkpoint_of
from services.aggregator.domain.checkpoint import FeatureKind
from services.aggregator.domain.quantity import layout_of
from services.aggregator.domain.sketch import check_layout
from services.attribution.adapters.grpc_messages import block_message as attribution_message
from services.attribution.adapters.grpc_messages import checkpoint_message
from services.attribution.domain.block import Batch
from services.attribution.domain.block import LfiBlock as AttributedBlock
from services.attribution.domain.block import Population as AttributedPopulation
from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod, SparseLfi
from services.attribution.domain.sketch import Sketcher
from tests.checkpoints import GROUPED, GROUPS, SCHEMA, random_examples
from tests.unit.services.aggregator.served import (
    NAME,
    TIMEOUT,
    Client,
    block_message,
    ingest,
    refusal,
    refused,
    report,
    served,
    tensor,
    watched,
)
from tests.unit.services.aggregator.values import numeric_sketch
from tests.unit.services.aggregator.worlds import HOUR, NOON, block, lfis
from tests.unit.services.attribution.predictors import FORMULA
from tests.valkey import ValkeyServer

NOON_NAME = f"{NAME}/windows/20261120T120000Z"
RNG = np.random.default_rng(5)
VALUES = (RNG.normal(3, 2, (1000, 3)) * (RNG.random((1000, 3)) < 0.8)).astype(np.float32)
PREDICTIONS = np.clip(0.5 + 0.1 * VALUES[:, 0], 0, 1).astype(np.float32)
GOOD = replace(block(lfis(1)), predictions=PREDICTIONS, sketch=numeric_sketch(VALUES, PREDICTIONS))


@pytest.fixture
async def stub(valkey: ValkeyServer) -> AsyncIterator[Client]:
    async with served(valkey.url) as stub:
        yield stub


async def profile_of(stub: Client, feature: str) -> FeatureProfile:
    request = pb.GetFeatureProfileRequest(window=NOON_NAME, feature=feature)
    return (await stub.GetFeatureProfile(request, timeout=TIMEOUT)).profile


async def test_a_profile_is_the_same_before_and_after_its_window_closes(stub: Client) -> None:
    (answer,) = await ingest(stub, [block_message(GOOD)])
    assert answer.HasField("receipt")
    live = await profile_of(stub, "f0")
    assert live.example_count == 1000
    assert live.baseline_rate == pytest.approx(np.mean(VALUES[:, 0] == 0))
    (value,) = live.quantities
    assert value.quantity == Quantity.QUANTITY_VALUE
    present = VALUES[:, 0][VALUES[:, 0] != 0]
    exact = np.quantile(present, (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1))
    assert np.abs(value.quantiles / exact - 1).max() < 1 / 8
    expected = np.corrcoef(VALUES[:, 0].astype(float), PREDICTIONS.astype(float))[0, 1]
    assert value.correlation == pytest.approx(expected, abs=1e-5)
    importances = lfis(1)[:, 0]
    effective = importances[importances != 0]
    assert live.coverage == pytest.approx(len(effective) / 1000)
    levels = np.linspace(0, 1, 33)
    exact = np.quantile(effective, levels, method="inverted_cdf")
    assert np.allclose(live.lfi_quantiles, exact, rtol=1 / 128)
    await report(stub, NOON)
    await report(stub, NOON + HOUR)
    await watched(stub, 1)
    assert await profile_of(stub, "f0") == live


async def test_a_block_without_a_sketch_is_taken(stub: Client) -> None:
    without = replace(GOOD, sketch=None)
    (answer,) = await ingest(stub, [block_message(without)])
    assert answer.HasField("receipt")
    unknown = await profile_of(stub, "f0")
    assert (unknown.example_count, len(unknown.quantities)) == (0, 0)


async def test_what_cannot_be_described_is_refused(stub: Client) -> None:
    request = pb.GetFeatureProfileRequest(window=NOON_NAME, feature="f9")
    early = await refused(stub.GetFeatureProfile(request, timeout=TIMEOUT))
    assert early.reason == "WINDOW_NOT_FOUND"
    await ingest(stub, [block_message(GOOD)])
    unknown = await refused(stub.GetFeatureProfile(request, timeout=TIMEOUT))
    assert (unknown.reason, unknown.fields) == ("UNKNOWN_FEATURE", ["feature"])


async def test_features_can_be_ranked_by_the_change_of_their_correlation(stub: Client) -> None:
    rng = np.random.default_rng(9)
    for start, coupled in ((NOON - HOUR, 1), (NOON, 2)):
        values = rng.normal(0, 1, (1000, 3)).astype(np.float32)
        predictions = np.clip(0.5 + 0.1 * values[:, coupled], 0, 1).astype(np.float32)
        made = replace(
            block(lfis(1), start.isoformat(), event_time=start),
            predictions=predictions,
            sketch=numeric_sketch(values, predictions),
        )
        (answer,) = await ingest(stub, [block_message(made)])
        assert answer.HasField("receipt")
    request = pb.CompareWindowsRequest(
        anomaly=NOON_NAME,
        control_window=f"{NAME}/windows/20261120T110000Z",
        rank_by=RankBy.RANK_BY_MFC_SHIFT,
    )
    comparison = (await stub.CompareWindows(request, timeout=TIMEOUT)).comparison
    assert comparison.rank_by == RankBy.RANK_BY_MFC_SHIFT
    # The importances are the same in both windows: nothing else tells these two from the third.
    assert {shift.feature for shift in comparison.shifts[:2]} == {"f1", "f2"}
    assert all(shift.shift == 0 for shift in comparison.shifts)


Break = Callable[[LfiBlock], None]


def _set(field: str, array: NDArray[np.generic]) -> Break:
    return lambda message: getattr(message.value_sketch, field).CopyFrom(tensor(array))


def _with_last(array: NDArray[np.generic], value: int) -> NDArray[np.generic]:
    changed = array.copy()
    changed[-1] = value
    return changed


SKETCH = numeric_sketch(VALUES, PREDICTIONS)
NONE = np.zeros(0, np.uint32)
BROKEN: list[tuple[str, Break]] = [
    ("baseline_counts", _set("baseline_counts", SKETCH.baseline_counts[:-1])),
    ("baseline_counts", _set("baseline_counts", SKETCH.baseline_counts + np.uint32(1000))),
    ("baseline_counts.data_type", _set("baseline_counts", VALUES[0])),
    ("bucket_offsets", _set("bucket_offsets", SKETCH.buckets.offsets[::-1].copy())),
    ("bucket_offsets", _set("bucket_offsets", SKETCH.buckets.offsets[[0, 1, 2, 3, 3]])),
    ("buckets", _set("buckets", SKETCH.buckets.keys[::-1].copy())),
    ("buckets", _set("buckets", _with_last(SKETCH.buckets.keys, 2041))),
    ("bucket_counts", _set("bucket_counts", SKETCH.buckets.counts * np.uint32(0))),
    ("bucket_counts", _set("bucket_counts", SKETCH.buckets.counts + np.uint32(1))),
    ("bucket_counts", _set("bucket_counts", SKETCH.buckets.counts[:-1])),
    ("hitter_offsets", _set("hitter_offsets", np.zeros(2, np.uint32))),
    ("hitter_offsets", _set("hitter_offsets", NONE)),
    ("moments.shape", _set("moments", SKETCH.moments[:, :2].copy())),
    ("moments", _set("moments", SKETCH.moments[:-1])),
    ("moments", _set("moments", -np.abs(SKETCH.moments))),
]


@pytest.mark.parametrize(("field", "spoil"), BROKEN)
async def test_a_malformed_sketch_is_refused_with_its_field(
    valkey: ValkeyServer, field: str, spoil: Break
) -> None:
    message = block_message(GOOD)
    spoil(message)
    async with served(valkey.url) as stub:
        bad, good = await ingest(stub, [message, block_message(replace(GOOD, block_id="b2"))])
    assert good.HasField("receipt")
    found = refusal(bad.error)
    assert (found.reason, found.fields) == ("MALFORMED_BLOCK", [f"block.value_sketch.{field}"])


async def test_a_moment_that_is_no_number_is_refused(stub: Client) -> None:
    message = block_message(GOOD)
    _set("moments", np.full_like(SKETCH.moments, np.nan))(message)
    (bad,) = await ingest(stub, [message])
    assert refusal(bad.error).reason == "NOT_FINITE"


def test_both_services_agree_on_every_kind_of_feature() -> None:
    checkpoint = replace(FORMULA, schema=GROUPED)
    examples = Examples(GROUPED, random_examples(SCHEMA, 200, seed=3).arrays)
    predictions = np.linspace(0.1, 0.9, 200, dtype=np.float32)
    nothing = np.zeros(0, np.uint32)
    lfi = SparseLfi(
        np.zeros(len(GROUPED.features) + 1, np.uint32),
        nothing,
        nothing.view(np.float32),
        predictions,
    )
    batch = Batch("b", AttributedPopulation.DISPLAYED, NOON + timedelta(minutes=1), b"")
    sketch = Sketcher(GROUPED)(examples).sketch(predictions)
    sent = AttributedBlock(batch, checkpoint, LfiMethod.PSEUDO_LOSS, lfi, sketch)
    message = attribution_message(sent, with_examples=False)
    read = block_of(LfiBlock.FromString(message.SerializeToString()))
    assert read.sketch is not None
    told = checkpoint_message(checkpoint)
    protovalidate.validate(told)
    assert list(told.features[0].members) == list(GROUPS["user_profile"])
    features = checkpoint_of(told).features
    check_layout(read.sketch, layout_of(features), 200)
    assert {f.kind for f in features} == set(FeatureKind)
